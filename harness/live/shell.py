"""Commands in the tasks of a cluster, by `nomad alloc exec`: as an operator would, with the same rights."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import LabError, UsageError
from harness.live.settings import NomadSettings
from harness.management.command import CommandResult

_SECONDS = 30.0
_SETTLE_SECONDS = 5.0
_SESSIONS = 4
"""How often a command is run whose session broke off before it had ended."""
# Nomad's exec sessions now and then end early, with exit code 0 and without the output, on a client that has
# much to do. So a command says itself that it has ended, and how; a session without that is no answer.
_SAY_THE_END = 'end=$1; shift; "$@"; printf "\n%s %s\n" "$end" "$?"'


@dataclass(frozen=True)
class Session:
    """How a command in a task is started, and what it says on stderr when it has ended."""

    command: tuple[str, ...]
    end: str
    environment: Mapping[str, str] = field(repr=False)

    def broke_off(self, code: int | None, complaint: str) -> bool:
        """Whether the session is over, and the command was not: so that its silence means nothing."""
        return code is not None and self.end not in complaint

    def words(self, complaint: str) -> str:
        """What the command itself said on stderr."""
        return complaint.partition(f"\n{self.end} ")[0].strip()


class Shell:
    """Runs the nomad command of this machine, against the cluster of the settings."""

    def __init__(self, settings: NomadSettings) -> None:
        """Find the command. Raises UsageError where there is none on PATH."""
        found = shutil.which("nomad")
        if found is None:
            raise UsageError(
                "PATH: there is no nomad command on it, to read jobs and to run commands in their tasks",
                remedy="install Nomad's command line, of the cluster's version or a newer one",
            )
        self.nomad = found
        self.environment = _environment(settings)

    def run(
        self, allocation: str, task: str, *argv: str, stdin: bytes = b"", seconds: float = _SECONDS
    ) -> CommandResult:
        """Run a command in a task to its end. The exit code is in the result; see `expect`.

        A session that breaks off before the command has said its end is begun again: so it is for commands
        that come to the same when they are run twice.

        Raises LabError when it takes longer than `seconds`, or every session breaks off.
        """
        where = f"task {task} of allocation {allocation[:8]}"
        began = time.monotonic()
        for _ in range(_SESSIONS):
            end = secrets.token_hex(8)
            try:
                done = subprocess.run(
                    self._exec(
                        allocation, task, "sh", "-c", _SAY_THE_END, "sh", end, *argv, attached=bool(stdin)
                    ),
                    input=stdin,
                    capture_output=True,
                    env=self.environment,
                    timeout=seconds,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise LabError(f"{where}: `{argv[0]}` takes longer than {seconds:g} s") from error
            said, found, code = done.stdout.decode("utf-8", "replace").rpartition(f"\n{end} ")
            if found:
                return CommandResult(
                    host=where,
                    argv=argv,
                    exit_code=int(code),
                    stdout=said,
                    stderr=done.stderr.decode("utf-8", "replace"),
                    seconds=time.monotonic() - began,
                )
            if done.returncode:
                break
        raise LabError(
            f"{where}: `{argv[0]}` cannot be run, or its sessions break off",
            log=done.stderr.decode("utf-8", "replace")[-1000:],
        )

    def joined(self, allocation: str, task: str, *argv: str) -> "Session":
        """A command in a task with its input and output joined to it, to be started by whoever has those."""
        end = secrets.token_hex(8)
        command = self._exec(
            allocation, task, "sh", "-c", f"{_SAY_THE_END} >&2", "sh", end, *argv, attached=True
        )
        return Session(command, end, self.environment)

    def _exec(self, allocation: str, task: str, *argv: str, attached: bool) -> tuple[str, ...]:
        # An input that ends at once may end the session before the output has come.
        return (
            *(self.nomad, "alloc", "exec", f"-i={str(attached).lower()}", "-t=false", "-e", "none"),
            *("-task", task, allocation, *argv),
        )


def _environment(settings: NomadSettings) -> Mapping[str, str]:
    """Nomad's own variables, and of the others only what a program needs to run."""
    given = {
        "NOMAD_ADDR": settings.address,
        "NOMAD_TOKEN": settings.token,
        "NOMAD_NAMESPACE": settings.namespace,
        "NOMAD_REGION": settings.region,
        "NOMAD_CACERT": settings.cacert,
        "NOMAD_CAPATH": settings.capath,
        "NOMAD_CLIENT_CERT": settings.client_cert,
        "NOMAD_CLIENT_KEY": settings.client_key,
        "NOMAD_TLS_SERVER_NAME": settings.tls_server_name,
        "NOMAD_SKIP_VERIFY": "true" if settings.skip_verify else "",
        "NOMAD_CLI_SHOW_HINTS": "0",
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    return kept | {name: value for name, value in given.items() if value}


class Door:
    """Owns a Unix socket on this machine, behind which each connection is a command's input and output.

    What speaks HTTP or TLS over a socket so speaks through a task, to wherever its command leads.
    """

    def __init__(self, shell: Shell, allocation: str, task: str, argv: Sequence[str]) -> None:
        """Describe it; nothing listens before it is entered."""
        self._session = shell.joined(allocation, task, *argv)
        self._processes: list[subprocess.Popen[bytes]] = []
        self.complaint = ""
        """What the last command said of why it failed, once the door is closed."""
        self.broke_off = False
        """Whether a session ended before its command had: once the door is closed."""

    @property
    def path(self) -> str:
        """Where it listens."""
        return str(Path(self._folder) / "door")

    def __enter__(self) -> Self:
        self._folder = tempfile.mkdtemp(prefix="notailcar-")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._open, name="door", daemon=True)
        self._thread.start()
        return self

    def _open(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # it was closed
                return
            with connection:
                self._processes.append(
                    subprocess.Popen(
                        self._session.command,
                        stdin=connection.fileno(),
                        stdout=connection.fileno(),
                        stderr=subprocess.PIPE,
                        env=self._session.environment,
                    )
                )

    def settle(self) -> None:
        """Wait for what has hung up to have ended, too: then it is known how."""
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SETTLE_SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A shutdown wakes who waits in accept; a close alone would not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for process in self._processes:
            code = process.poll()
            process.terminate()
            said = process.communicate()[1].decode("utf-8", "replace")
            self.broke_off |= self._session.broke_off(code, said)
            self.complaint = self._session.words(said)
        shutil.rmtree(self._folder, ignore_errors=True)
