"""A check service on loopback: answers with what a path says, and keeps what it was asked."""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

PAGES = {
    "/html": (200, "<html>Please log in</html>"),
    "/v6": (200, "2001:db8::20\n"),
    "/lie": (200, "203.0.113.9\n"),
    "/error": (500, "203.0.113.9\n"),
}


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    target: str
    agent: str
    token: str


class Echo:
    """Owns the server. `/` answers the caller's address, `/hang` never does, others as in PAGES."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.came = threading.Event()
        self._released = threading.Event()

    def __enter__(self) -> Self:
        echo = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                echo.asked.append(
                    Asked(
                        self.path, self.headers.get("User-Agent", ""), self.headers.get("X-Request-Token", "")
                    )
                )
                echo.came.set()
                path = (
                    self.path.partition("://")[2].partition("/")[2] if "://" in self.path else self.path[1:]
                )
                if path == "hang":
                    echo._released.wait()
                    return
                status, text = PAGES.get(f"/{path}", (200, self.client_address[0] + "\n"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *arguments: object) -> None:
                del format, arguments

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
