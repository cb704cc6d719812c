"""A byte stream to a program inside a container: Docker's exec, attached, as httpcore wants a connection."""

import io
import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

import httpcore
from docker import DockerClient

from harness.management.docker_frames import Frames
from harness.management.waiting import wait_until

T = TypeVar("T")

_END_SECONDS = 10.0


class ExecStream(httpcore.NetworkStream):
    """Owns one attached exec: what is written goes to the program's stdin, what it prints is read."""

    def __init__(
        self,
        engine: DockerClient,
        container: str,
        argv: Sequence[str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start `argv` in the container. Raises docker.errors.APIError when it cannot be started."""
        self._engine = engine
        created = engine.api.exec_create(
            container, list(argv), stdin=True, stdout=True, stderr=True, environment=dict(environment or {})
        )
        self._id: str = created["Id"]
        self._attached: Any = engine.api.exec_start(self._id, socket=True)
        # docker-py gives a SocketIO over plain sockets and the TLS socket itself elsewhere.
        self._socket = cast(socket.socket, getattr(self._attached, "_sock", self._attached))
        # Never blocking, and never with a timeout of its own: one thread reads while another writes, and
        # both would share it.
        self._socket.setblocking(False)
        self._frames = Frames()
        self._frames.feed(_read_ahead(self._attached))

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read up to `max_bytes` of the program's stdout; empty at its end. Raises httpcore.ReadTimeout."""
        while not self._frames.stdout:
            if not self.receive(timeout):
                return b""
        return self._frames.take(max_bytes)

    def receive(self, timeout: float | None = None) -> bool:
        """Wait for more on stdout or stderr; False at the program's end. Raises httpcore.ReadTimeout."""
        try:
            received = _when_ready(self._socket, lambda: self._socket.recv(65536), select.POLLIN, timeout)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(f"nothing came in {timeout} s") from error
        except (OSError, ValueError) as error:
            raise httpcore.ReadError(str(error)) from error
        if not received and self._frames.cut:
            raise httpcore.ReadError("the stream was torn off in the middle of a frame")
        self._frames.feed(received)
        return bool(received)

    def ends_with(self, last: re.Pattern[bytes], within: int) -> re.Match[bytes] | None:
        """A match in both streams' last bytes, `within` so many, as far as they were received; of stdout."""
        found = last.search(self._frames.stdout[-within:])
        return found if last.search(self._frames.stderr[-within:]) else None

    def take(self) -> tuple[bytes, bytes]:
        """All that was received on stdout and on stderr, which is then no longer kept."""
        return self._frames.take_all()

    @property
    def complaint(self) -> bytes:
        """What the program wrote to stderr, as far as it was read."""
        return bytes(self._frames.stderr)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of `buffer` to the program's stdin. Raises httpcore.WriteTimeout or WriteError."""
        unsent = memoryview(buffer)
        try:
            while unsent:
                sent = _when_ready(self._socket, partial(self._socket.send, unsent), select.POLLOUT, timeout)
                unsent = unsent[sent:]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(f"nothing was taken in {timeout} s") from error
        except (OSError, ValueError) as error:
            raise httpcore.WriteError(str(error)) from error

    def end_input(self) -> None:
        """Close the program's stdin; what it prints can still be read."""
        with suppress(OSError):  # the program may have ended already
            self._socket.shutdown(socket.SHUT_WR)

    def exit_code(self) -> int:
        """The program's exit code, once its output has been read to the end. Raises LabError.

        Docker may report the end of the streams a moment before the end of the process.
        """

        def ended() -> tuple[int] | None:
            code: int | None = self._engine.api.exec_inspect(self._id)["ExitCode"]
            return None if code is None else (code,)

        (code,) = wait_until(ended, seconds=_END_SECONDS, what="a program whose output has ended ends too")
        return code

    def close(self) -> None:
        """End the stream; the program sees its stdin closed. A reader in another thread wakes up."""
        with suppress(OSError):  # already closed by the other side
            self._socket.shutdown(socket.SHUT_RDWR)
        self._attached.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Refuse: a program that speaks TLS (socat's OPENSSL) stands at the other end instead."""
        raise NotImplementedError("TLS is spoken by the program at the other end of the stream")

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's own signature
        """Tell httpcore whether an idle connection was ended by the other side (`is_readable`)."""
        if info == "is_readable":
            # Not select(2), which knows no file descriptor above 1023: one lab after the other has more.
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            return bool(poll.poll(0))
        return None


def _when_ready(connection: socket.socket, attempt: Callable[[], T], event: int, timeout: float | None) -> T:
    """Attempt what the socket may not be ready for, again whenever it is. Raises TimeoutError."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            return attempt()
        except ssl.SSLWantReadError:
            event = select.POLLIN
        except ssl.SSLWantWriteError:
            event = select.POLLOUT
        except BlockingIOError:
            pass
        poll = select.poll()
        poll.register(connection, event)
        if not poll.poll(None if end is None else max(0.0, end - time.monotonic()) * 1000):
            raise TimeoutError


def _read_ahead(attached: Any) -> bytes:  # noqa: ANN401 - docker-py's own
    """What http.client took from the connection beyond the headers: where we were slow, the first frames."""
    response = getattr(attached, "_response", None)
    reader = response.raw._fp.fp if response is not None else None
    # A channel of SSH has no such reader, and nothing is read ahead there.
    if not isinstance(reader, io.BufferedReader):
        return b""
    try:
        return bytes(reader.peek())
    except ssl.SSLWantReadError:
        return b""


class ExecBackend(httpcore.NetworkBackend):
    """Opens connections for httpcore: each is an exec of one dialling program in one container."""

    def __init__(self, dial: Callable[[], ExecStream]) -> None:
        """Dial by `dial`: it starts a program that joins its stdin and stdout to the server (socat)."""
        self._dial = dial

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the signature is httpcore's - httpcore names these, the dialling program knows better
        port: int,  # noqa: ARG002 - the signature is httpcore's
        timeout: float | None = None,  # noqa: ARG002 - the signature is httpcore's
        local_address: str | None = None,  # noqa: ARG002 - the signature is httpcore's
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - the signature is httpcore's
    ) -> httpcore.NetworkStream:
        """Open one stream; where it leads is decided by the dialling program, not by host and port."""
        return self._dial()
