"""Shells that stay in a host for its many short commands: an exec costs an engine some 60 ms, a fork one."""

import re
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock

import httpcore

from harness.management.exec_stream import ExecStream

SHELL = ("sh",)
"""The program that a shell is: it reads from its input what it is to do next."""
_CODE_BYTES = len(" 255\n")
_MOST_BYTES = 65536


def fits(given: bytes) -> bool:
    """Whether an input can be told to a shell: it is a line of what the shell reads, which has no NUL."""
    return len(given) <= _MOST_BYTES and b"\0" not in given


class HostShell:
    """Owns one shell in a host: it runs commands one after the other, each with its own input and end."""

    def __init__(self, stream: ExecStream) -> None:
        """Take over the streams of a `SHELL` that has just been started."""
        self._stream = stream

    @property
    def idle(self) -> bool:
        """Whether it still runs: between commands it says nothing, so whatever is to be read is its end."""
        return not self._stream.get_extra_info("is_readable")

    def run(
        self, argv: Sequence[str], environment: Mapping[str, str], given: bytes, silence: float
    ) -> tuple[int, bytes, bytes]:
        """Run a command to its end; its exit code (128 and the signal that ended it), both streams.

        Args:
            argv: the command.
            environment: variables beside those of the host, by names that a shell takes.
            given: its input, which `fits` through a shell.
            silence: seconds that it may print nothing.

        Raises:
            httpcore.ReadTimeout: it was silent for too long, and may still run.
            httpcore.NetworkError: the shell is gone, with or without having run it.
        """
        # By the shell itself, for what stands in a command line is to be read by everybody in the host.
        settings = "".join(f"{name}={shlex.quote(value)} " for name, value in environment.items())
        text = given.decode("utf-8", "surrogateescape")
        told = f"{settings}command {shlex.join(argv)}"
        told = f"printf %s {shlex.quote(text)} | {told}" if text else f"{told} </dev/null"
        end = secrets.token_hex(8)
        told = f"{told}; c=$?; echo {end} $c; echo {end} $c >&2\n"
        self._stream.write(told.encode("utf-8", "surrogateescape"), silence)
        last = re.compile(rb"%s (\d+)\n\Z" % end.encode())
        near = len(end) + _CODE_BYTES
        while not (found := self._stream.ends_with(last, near)):
            if not self._stream.receive(silence):
                raise httpcore.ReadError("the shell that ran it has ended")
        printed, complaint = self._stream.take()
        size = len(found[0])
        return int(found[1]), printed[:-size], complaint[:-size]

    def close(self) -> None:
        """End it; what it runs is told by a closed output alone."""
        self._stream.close()


class HostShells:
    """Owns the shells of one host: as many as commands were ever run in it at once."""

    def __init__(self, start: Callable[[], HostShell]) -> None:
        """Start a shell by `start` whenever all are busy."""
        self._start = start
        self._idle: list[HostShell] = []
        self._lock = Lock()

    @contextmanager
    def borrowed(self) -> Iterator[HostShell]:
        """One that nobody else uses; it is kept for the next unless the block fails."""
        shell = self._next() or self._start()
        try:
            yield shell
        except BaseException:
            # After a Ctrl-C too, as the command may still say something; it is raised on.
            shell.close()
            raise
        with self._lock:
            self._idle.append(shell)

    def _next(self) -> HostShell | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                shell = self._idle.pop()
            if shell.idle:
                return shell
            # Its host was restarted, or killed.
            shell.close()

    def close(self) -> None:
        """End those that are not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for shell in idle:
            shell.close()
