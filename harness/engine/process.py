"""Processes by identity, not by number alone: a pid that was given to somebody else is never signalled."""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PROC = Path("/proc")
_PARENT, _STARTED = 1, 19
"""Where two fields stand in /proc/PID/stat, counted from the state on."""


@dataclass(frozen=True)
class Process:
    """One process for as long as it lives: the pid, and when it started, in clock ticks since boot."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Take hold of a running process.

        Raises:
            ProcessLookupError: there is none with this pid.
        """
        started = _started(pid)
        if started is None:
            raise ProcessLookupError(pid)
        return cls(pid, started)

    def is_alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return _started(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send one signal to it, and to nobody who may have got its pid since."""
        with self._handle() as handle:
            if handle is not None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)

    def wait(self, timeout: float) -> bool:
        """Wait for its exit, at most `timeout` seconds. Say whether it is gone."""
        with self._handle() as handle:
            if handle is None:
                return True
            exit_of = select.poll()
            exit_of.register(handle, select.POLLIN)
            return bool(exit_of.poll(timeout * 1000))

    def children(self) -> list["Process"]:
        """Give the processes that it is the parent of."""
        found = []
        for pid in _pids():
            fields = _stat(pid)
            if fields and int(fields[_PARENT]) == self.pid:
                found.append(Process(pid, int(fields[_STARTED])))
        return found

    @contextmanager
    def _handle(self) -> Iterator[int | None]:
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            yield None
            return
        try:
            # Looked at after the handle was opened: from here on, both mean the same process.
            yield handle if self.is_alive() else None
        finally:
            os.close(handle)


def with_argument(*arguments: str) -> Iterator[Process]:
    """Find the processes of this pid namespace that were given one of these arguments, word for word."""
    ours = (_PROC / "self/ns/pid").stat().st_ino
    wanted = {argument.encode() for argument in arguments}
    for pid in _pids():
        with suppress(OSError):
            argv = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
            if wanted.isdisjoint(argv) or (_PROC / str(pid) / "ns/pid").stat().st_ino != ours:
                continue
            yield Process.of(pid)


def _pids() -> list[int]:
    return [int(folder.name) for folder in _PROC.iterdir() if folder.name.isdecimal()]


def _started(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[_STARTED]) if fields else None


def _stat(pid: int) -> list[str]:
    """The fields of a running process, from its state on; none for a zombie."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return []
    # Before the state stands the command in parentheses, which may hold blanks itself.
    fields = stat.rpartition(")")[2].split()
    return [] if fields[0] in {"Z", "X"} else fields
