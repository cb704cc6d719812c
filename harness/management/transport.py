"""HTTP over exec streams: one httpx transport that reaches a server inside a container of any engine."""

from collections.abc import Callable, Iterator

import httpcore
import httpx

from harness.management.exec_stream import ExecBackend, ExecStream

_RAISED_AS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.RemoteProtocolError, httpx.RemoteProtocolError),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.ConnectError, httpx.ConnectError),
)


def _translated(error: Exception) -> Exception:
    for raised, expected in _RAISED_AS:
        if isinstance(error, raised):
            return expected(str(error))
    return error


_KEPT_SECONDS = 15
"""An idle connection is kept so long: less than any of the servers keeps its end (headscale: 30 s), as one
that a server closes just then would fail a request."""


class _Body(httpx.SyncByteStream):
    """A response's body, read as it comes: the event stream never ends by itself."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._response.iter_stream()
        except Exception as error:
            raise _translated(error) from error

    def close(self) -> None:
        self._response.close()


class ExecTransport(httpx.BaseTransport):
    """Owns a pool of exec streams to one server; connections are kept, as an exec costs some 60 ms."""

    def __init__(self, dial: Callable[[], ExecStream]) -> None:
        """Reach the server that `dial` gives a stream to; whoever gives it may end it."""
        self._pool = httpcore.ConnectionPool(
            network_backend=ExecBackend(dial), max_connections=20, keepalive_expiry=_KEPT_SECONDS
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises httpx's transport errors."""
        assert isinstance(request.stream, httpx.SyncByteStream)  # noqa: S101 - sync clients only
        inner = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=b"http",
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            response = self._pool.handle_request(inner)
        except Exception as error:
            raise _translated(error) from error
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Close every stream of the pool."""
        self._pool.close()
