"""HTTP through the proxies that the environment names, and in no other way.

Nothing here opens a connection to anything but a proxy: without one there is an error, and never a
request that goes straight out. The proxy is asked for a tunnel by name, so that names are resolved
where the traffic leaves, and a tunnel is kept open for the next request to the same server.
"""

import http.client
import signal
import ssl
import urllib.request
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from urllib.parse import urlsplit

DEFAULT_PORT = {"http": 80, "https": 443}
SUCCESS = range(200, 300)
KEPT_OPEN = 8
"""Tunnels at a time; the one that was not used for longest is closed first."""


@dataclass(frozen=True)
class Response:
    """What a server answered. `whole` is false where the body was longer than the limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool
    reused: bool

    def header(self, name: str) -> str:
        """Give a header's value by its lower-case name; an empty text where there is none."""
        return self.headers.get(name, "")


def proxies() -> dict[str, tuple[str, int]]:
    """Read host and port of the proxy for each scheme. NO_PROXY is not read: nothing bypasses.

    Raises ValueError where one is missing or is not of the form http://HOST:PORT.
    """
    found = {}
    given = urllib.request.getproxies_environment()
    for scheme in DEFAULT_PORT:
        name = f"{scheme.upper()}_PROXY"
        if not given.get(scheme):
            raise ValueError(f"{name} is not set: out by a proxy, or not at all")
        parts = urlsplit(given[scheme])
        if parts.scheme != "http" or not parts.hostname or not parts.port or parts.username:
            raise ValueError(f"{name} is not of the form http://HOST:PORT")
        found[scheme] = (parts.hostname, parts.port)
    return found


class Web:
    """Owns the open tunnels. Single-threaded on purpose: see `time_limit`."""

    def __init__(self, *, timeout: float, body_limit: int) -> None:
        """Read the proxies. Raises ValueError, see `proxies`.

        Args:
            timeout: seconds that one request may take, from its first byte to the answer's last.
            body_limit: bytes of an answer that are read.
        """
        self._proxies = proxies()
        self._timeout = timeout
        self._body_limit = body_limit
        self._tls = ssl.create_default_context()
        self._open: OrderedDict[tuple[str, str, int], http.client.HTTPConnection] = OrderedDict()

    def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        """Send one request once, follow nothing. Raises OSError, HTTPException or ValueError."""
        with time_limit(self._timeout):
            # A server may close a tunnel at the moment in which it is used again, and nobody can tell then
            # whether it acted on the request. So what changes something gets a tunnel of its own.
            key, connection = self._tunnel(url, fresh=method != "GET")
            reused = connection.sock is not None
            try:
                try:
                    response = self._exchange(connection, method, url, headers, body)
                except ConnectionError:
                    if not reused:
                        raise
                    key, connection = self._tunnel(url, fresh=True)
                    reused = False
                    response = self._exchange(connection, method, url, headers, body)
                content = response.read(self._body_limit + 1)
            except BaseException:
                self._drop(key)
                raise
        if response.will_close or not response.isclosed():
            self._drop(key)
        lower = {name.lower(): value for name, value in response.getheaders()}
        whole = len(content) <= self._body_limit
        return Response(response.status, lower, content[: self._body_limit], whole, reused)

    def close(self) -> None:
        """Close every tunnel."""
        while self._open:
            self._open.popitem()[1].close()

    @staticmethod
    def _exchange(
        connection: http.client.HTTPConnection,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, dict(headers))
        return connection.getresponse()

    def _tunnel(self, url: str, *, fresh: bool) -> tuple[tuple[str, str, int], http.client.HTTPConnection]:
        """Give the connection of a URL's server, not necessarily open yet: the request opens it."""
        parts = urlsplit(url)
        if parts.scheme not in DEFAULT_PORT or not parts.hostname:
            raise ValueError("neither http nor https")
        key = (parts.scheme, parts.hostname, parts.port or DEFAULT_PORT[parts.scheme])
        if fresh:
            self._drop(key)
        if key not in self._open:
            while len(self._open) >= KEPT_OPEN:
                self._open.popitem(last=False)[1].close()
            host, port = self._proxies[parts.scheme]
            if parts.scheme == "https":
                connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                    host, port, timeout=self._timeout, context=self._tls
                )
            else:
                connection = http.client.HTTPConnection(host, port, timeout=self._timeout)
            # A tunnel for http, too: given a whole URL instead, the proxy answers by a connection that
            # it may have opened earlier, through an exit node that is not the present one.
            connection.set_tunnel(key[1], key[2])
            self._open[key] = connection
        self._open.move_to_end(key)
        return key, self._open[key]

    def _drop(self, key: tuple[str, str, int]) -> None:
        if key in self._open:
            self._open.pop(key).close()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError where the block takes longer, even if a byte comes now and then.

    By a signal, which reaches the main thread only: with threads, use a library with a limit of its own.
    """

    def over(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"no whole answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
