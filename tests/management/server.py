"""A small web server with bad habits, run inside a container by test_transport.py."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

go = threading.Event()


class Handler(BaseHTTPRequestHandler):
    """What each path does is in its name."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """/echo gives the body back, /go lets /stream go on."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/go":
            go.set()
        self._answer(body)

    def do_GET(self) -> None:
        """Answer by the path."""
        if self.path == "/connection":
            self._answer(str(self.client_address[1]).encode())
        elif self.path == "/close":
            self._answer(str(self.client_address[1]).encode(), close=True)
        elif self.path == "/stream":
            self._begin("Transfer-Encoding", "chunked")
            self._chunk(b"one\n")
            go.wait(30)
            self._chunk(b"two\n")
            self._chunk(b"")
        elif self.path == "/never":
            go.wait(30)
        elif self.path == "/dies-in-a-body":
            self._begin("Content-Length", "100")
            self.wfile.write(b"only so much")
            self.close_connection = True
        elif self.path == "/dies-in-a-chunk":
            self._begin("Transfer-Encoding", "chunked")
            self.wfile.write(b"100\r\nonly so much")
            self.close_connection = True
        elif self.path == "/dies-at-once":
            self.close_connection = True
        else:
            self._answer(b"x" * int(self.path[1:]))

    def _begin(self, header: str, value: str) -> None:
        self.send_response(200)
        self.send_header(header, value)
        self.end_headers()

    def _chunk(self, body: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))

    def _answer(self, body: bytes, *, close: bool = False) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if close:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("listening", flush=True)
server.serve_forever()
