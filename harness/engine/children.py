"""Commands of ours that never outlive us: a build that a killed harness leaves behind ends with it."""

import os
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import LabError

TAIL_LINES = 30
SYSTEM_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where a distribution keeps dockerd, debootstrap and iptables; often missing in a user's PATH."""

# The parent may have died before the kernel was told to watch it: then the word never comes.
_UNLESS_ORPHANED = 'if [ "$PPID" = "$0" ]; then exec "$@"; fi'


def search_path() -> str:
    """PATH, with the system's own folders after it."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_PATHS])


def which(command: str) -> str | None:
    """Find a command, also where only root's PATH leads."""
    return shutil.which(command, path=search_path())


class CommandError(LabError):
    """A command of ours ended with an error; `log` holds the last lines it printed."""


class CancelledError(Exception):
    """The work was called off, because of Ctrl-C or because another part of it failed."""


class Children:
    """Owns the commands that run now; leaving it kills what is left of them, and all their descendants.

    Commands may be run from several threads. Each thread waits for its own command, which matters: the
    kernel ends a child with the thread that started it.
    """

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> str:
        """Run a command to its end.

        Args:
            argv: the command and its arguments; no shell sees them.
            cwd: its working directory.
            env: variables added to ours.
            on_line: told each line that it prints, as it comes.

        Returns:
            The last lines of what it printed, standard error among them.

        Raises:
            CommandError: it is missing, or ended with another code than 0.
            CancelledError: it was killed by `cancel`.
        """
        path = which(argv[0])
        if path is None:
            raise CommandError(f"the command {argv[0]} is missing on this machine")
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        child = self._start([path, *argv[1:]], cwd, env)
        try:
            assert child.stdout is not None  # noqa: S101  (given to Popen as a pipe)
            for line in child.stdout:
                tail.append(line.rstrip())
                if on_line:
                    on_line(tail[-1])
            code = child.wait()
        finally:
            _kill(child)
            with self._lock:
                self._running.discard(child)
        if self.cancelled.is_set():
            raise CancelledError
        if code != 0:
            raise CommandError(f"{' '.join(argv[:2])} ended with code {code}", log="\n".join(tail))
        return "\n".join(tail)

    def _start(
        self, argv: list[str], cwd: Path | None, env: Mapping[str, str] | None
    ) -> subprocess.Popen[str]:
        with self._lock:
            if self.cancelled.is_set():
                raise CancelledError
            child = subprocess.Popen(
                [*_guard(), *argv],
                cwd=cwd,
                env={**os.environ, "PATH": search_path(), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running.add(child)
        return child

    def cancel(self) -> None:
        """Kill everything that runs, and let nothing start any more."""
        with self._lock:
            self.cancelled.set()
            for child in self._running:
                _kill(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()


def _kill(child: subprocess.Popen[str]) -> None:
    if child.poll() is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def tie_to_us(signal_name: str) -> list[str]:
    """The words before a command that have the kernel send it a signal when the thread that starts it ends.

    Nothing where that cannot be: then the command goes on alone.
    """
    if not which("setpriv"):
        return []
    return ["setpriv", "--pdeathsig", signal_name, "sh", "-c", _UNLESS_ORPHANED, str(os.getpid())]


def _guard() -> list[str]:
    """The words before a command that tie its life, and that of all its descendants, to ours."""
    tie = tie_to_us("KILL")
    if not tie:
        return []
    # In a pid namespace of its own, the descendants die with the first of them, however they were started.
    return [*tie, *_NAMESPACES] if _namespaces_work() else tie


_NAMESPACES = ["unshare", "--pid", "--fork", "--mount", "--kill-child=KILL", "--"]


@cache
def _namespaces_work() -> bool:
    if os.geteuid() != 0 or not which("unshare"):
        return False
    return subprocess.run([*_NAMESPACES, "true"], capture_output=True, check=False).returncode == 0
