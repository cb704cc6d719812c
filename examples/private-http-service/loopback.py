"""A small HTTP server for what is served by Tailscale Serve: on loopback alone, and with an orderly end.

A service gives a function from a Request to a Response; everything else is here. Settings, from the
environment:
  LISTEN_PORT     the port on 127.0.0.1, or
  LISTEN_SOCKET   the path of a Unix socket; one of the two is required

`/healthz` is answered with 200 as long as the server takes requests. On SIGTERM it takes no more of them and
ends with 0 once those under way are answered.
"""

import http.client
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from urllib.parse import parse_qs, unquote, urlsplit

LONGEST_BODY = 1024 * 1024
HEALTH_PATH = "/healthz"


@dataclass(frozen=True)
class Request:
    """What somebody asks. Names of headers are looked up without regard to case."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: "Message[str, str]"
    body: bytes

    @property
    def user(self) -> str:
        """The login of the tailnet's user who asks, as Serve tells it; empty for a tagged node.

        Serve removes such a header from what it is sent, so it can be believed as far as only Serve comes
        here: processes of this machine could also write it.
        """
        return str(self.headers.get("Tailscale-User-Login") or "")


@dataclass(frozen=True)
class Response:
    """What is answered."""

    body: str
    status: int = http.client.OK
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


Respond = Callable[[Request], Response]


class _Server(ThreadingHTTPServer):
    # A thread under way is waited for at the end, and has a time limit of its own.
    daemon_threads = False

    def __init__(self, port: int, respond: Respond) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.respond = respond


class _ServerAtPath(ThreadingMixIn, UnixStreamServer):
    daemon_threads = False

    def __init__(self, path: str, respond: Respond) -> None:
        # What an earlier run of this task left.
        Path(path).unlink(missing_ok=True)
        super().__init__(path, _Handler)
        # Whoever gets to the folder may connect: tailscaled, which is another user and has no privilege.
        Path(path).chmod(0o666)
        self.respond = respond


class _Handler(BaseHTTPRequestHandler):
    server: _Server | _ServerAtPath
    timeout = 10

    def address_string(self) -> str:
        """Who asks, for the log: behind Serve it is always tailscaled."""
        return "serve"

    def _answer(self) -> None:
        url = urlsplit(self.path)
        length = self.headers.get("Content-Length") or "0"
        if not (length.isascii() and length.isdigit()) or int(length) > LONGEST_BODY:
            response = Response("the body is too long\n", http.client.REQUEST_ENTITY_TOO_LARGE)
        elif url.path == HEALTH_PATH:
            response = Response("ok\n")
        else:
            body = self.rfile.read(int(length))
            response = self.server.respond(
                Request(self.command, unquote(url.path), parse_qs(url.query), self.headers, body)
            )
        content = response.body.encode()
        self.send_response(response.status)
        for name, value in {
            "Content-Type": response.content_type,
            "Content-Length": str(len(content)),
            "X-Content-Type-Options": "nosniff",
            **response.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    # By these names the base class looks for them.
    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One line a request to stdout, without the health checks, which come every few seconds."""
        del size
        if urlsplit(self.path).path != HEALTH_PATH:
            user = self.headers.get("Tailscale-User-Login", "-")
            print(
                f"{user} {self.command} {self.path} {int(code)}".encode("ascii", "replace").decode(),
                flush=True,
            )


def run(respond: Respond) -> int:
    """Serve until SIGTERM or SIGINT; give the exit code."""
    path, port = os.environ.get("LISTEN_SOCKET", ""), os.environ.get("LISTEN_PORT", "")
    if not path and not port.isdigit():
        print("LISTEN_PORT is not set, or no port, and LISTEN_SOCKET is not set", file=sys.stderr)
        return 2
    server = _ServerAtPath(path, respond) if path else _Server(int(port), respond)

    def stop(number: int, frame: object) -> None:
        del number, frame
        # From another thread: shutdown waits for the loop that this handler has interrupted.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with server:
        server.serve_forever(poll_interval=0.1)
    return 0
