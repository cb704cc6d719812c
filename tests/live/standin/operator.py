"""Runs programs of this machine from the network of a host of the lab, as if they were that host's."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from harness.errors import LabError
from harness.lab.running_host import RunningHost

_ENTER = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
_SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT = ("HOME", "LANG", "NOTAILCAR_CACHE", "TERM")
_END_SECONDS = 30


class Operator:
    """Owns the processes that it started; what still runs when it is closed is ended.

    Attributes:
        entering: a command whose arguments are a command that it runs from that network.
        environment: what such a command has in its environment, beside its settings. There is no engine in
            it: a cluster that exists needs none of the operator's.
    """

    def __init__(
        self, host: RunningHost, resolvers: Sequence[str], programs: Sequence[Path], scratch: Path
    ) -> None:
        """Take a host that was started. Raises LabError where its network cannot be entered from here.

        Args:
            host: whose network it is.
            resolvers: whom its names are looked up with.
            programs: folders of programs that are found before those of the system.
            scratch: a folder for a resolv.conf.
        """
        network = Path(f"/proc/{host.pid}/ns/net")
        try:
            own = network.samefile("/proc/self/ns/net")
        except OSError as error:
            raise LabError(
                f"{host.name}: its network cannot be entered from here: {error}",
                remedy="run as root, on the machine of the engine",
            ) from error
        if own:
            raise LabError(f"{host.name}: has this machine's network and none of its own")
        scratch.mkdir(parents=True, exist_ok=True)
        resolv_conf = scratch / "resolv.conf"
        resolv_conf.write_text("".join(f"nameserver {resolver}\n" for resolver in resolvers))
        self.entering: tuple[str, ...] = (
            *("nsenter", f"--net={network}"),
            *("unshare", "--mount", "--propagation=private"),
            *("sh", "-c", _ENTER, "sh", str(resolv_conf)),
        )
        self.environment: Mapping[str, str] = {
            "PATH": ":".join((*map(str, (*programs, Path(sys.executable).parent)), _SYSTEM)),
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
        }
        self._running: list[subprocess.Popen[str]] = []

    def start(
        self,
        argv: Sequence[str],
        settings: Mapping[str, str],
        *,
        folder: Path | None = None,
        output: IO[str] | int = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start a program; its process id is the program's own, and that of its process group.

        Args:
            argv: the program and its arguments, found on PATH.
            settings: its environment, beside `environment`.
            folder: where it is started.
            output: where both its streams go; as they are, a pipe to be read.
        """
        process = subprocess.Popen(
            [*self.entering, *argv],
            env={**self.environment, **settings},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._running.append(process)
        return process

    def close(self) -> None:
        """End what still runs: asked to first, then by force."""
        for process in self._running:
            if process.poll() is None:
                process.terminate()
        for process in self._running:
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            finally:
                with suppress(AttributeError):
                    process.stdout.close()  # type: ignore[union-attr] # where there is none, that is suppressed
        self._running.clear()
