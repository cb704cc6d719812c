"""A small internet on loopback: a proxy that knows every name, and the one server behind all of them."""

import select
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import trustme


@dataclass(frozen=True)
class Page:
    """One answer. `drip` sends the body a byte at a time and never ends it; `hang_up` closes unannounced.

    `cut_short` announces more than the body and closes after it.
    """

    body: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: bool = False
    hang_up: bool = False
    cut_short: bool = False


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it: URL, method, headers in lower case, body, its connection's number."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


class Site:
    """Owns proxy and server. `pages` gives the answers for a URL in turn, the last one again and again.

    A URL that has none is answered by 404. Names exist nowhere but here: whoever resolves them fails.

    Attributes:
        asked: every request that came.
        tunnels: HOST:PORT of every tunnel that the proxy was asked for.
        came: set by the first request.
    """

    def __init__(self, pages: Mapping[str, Page | Sequence[Page]]) -> None:
        self._pages = {url: [p] if isinstance(p, Page) else list(p) for url, p in pages.items()}
        self._given: dict[str, int] = defaultdict(int)
        self._over = threading.Event()
        self.asked: list[Asked] = []
        self.tunnels: list[str] = []
        self.came = threading.Event()
        self.ca = trustme.CA()

    def page(self, url: str) -> Page:
        """Give the next answer for a URL."""
        pages = self._pages.get(url, [Page(status=404)])
        number = min(self._given[url], len(pages) - 1)
        self._given[url] += 1
        return pages[number]

    def urls(self) -> list[str]:
        """Give what was asked for, in order."""
        return [asked.url for asked in self.asked]

    def __enter__(self) -> Self:
        names = {url.split("/")[2] for url in self._pages}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        self._servers = {80: _server(self, None), 443: _server(self, context)}
        self._proxy = _Proxy(self)
        self.port = self._proxy.server_port
        for server in (*self._servers.values(), self._proxy):
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for server in (self._proxy, *self._servers.values()):
            server.shutdown()
            server.server_close()

    def behind(self, port: int) -> tuple[str, int]:
        """Give where the server for port 80 or 443 listens."""
        return "127.0.0.1", self._servers[port].server_port

    def pause(self) -> bool:
        """Wait a little between two bytes of a dripping body; false when the site is closed."""
        return not self._over.wait(0.05)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what some tests are about."""


class _Proxy(_Server):
    def __init__(self, site: Site) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_CONNECT(self) -> None:
                site.tunnels.append(self.path)
                with socket.create_connection(site.behind(int(self.path.rpartition(":")[2]))) as server:
                    self.send_response(200)
                    self.end_headers()
                    _pump(self.connection, server)
                self.close_connection = True

            def log_message(self, format: str, *arguments: object) -> None:
                del format, arguments

        super().__init__(("127.0.0.1", 0), Handler)


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Copy both ways until either end closes."""
    while True:
        for ready in select.select([one, other], [], [])[0]:
            data = ready.recv(65536)
            if not data:
                return
            (other if ready is one else one).sendall(data)


def _server(site: Site, tls: ssl.SSLContext | None) -> _Server:
    scheme = "https" if tls else "http"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            url = f"{scheme}://{self.headers['Host']}{self.path}"
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            site.asked.append(Asked(self.command, url, headers, body, self.client_address[1]))
            site.came.set()
            page = site.page(url)
            self.send_response(page.status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            length = 1_000_000 if page.drip or page.cut_short else len(page.body.encode())
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(page.body.encode())
            while page.drip and site.pause():
                self.wfile.write(b".")
            self.close_connection = self.close_connection or page.drip or page.hang_up or page.cut_short

        do_GET = do_POST = answer  # noqa: N815 - http.server's names

        def log_message(self, format: str, *arguments: object) -> None:
            del format, arguments

    server = _Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    return server
