"""An events API on loopback, for real: it never runs out of events, and writes down what is acknowledged."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

URL = "http://feed.test/events"
"""A name that exists nowhere: who does not ask by the proxy, which the feed is itself, does not find it."""
PAGE = 2


@dataclass(frozen=True)
class Asked:
    """One request as the feed saw it, headers in lower case."""

    method: str
    url: str
    headers: dict[str, str]


class Feed:
    """Owns the server.

    Attributes:
        port: where it listens, as the HTTP proxy that leads to itself.
        asked: every request that came.
        acknowledged: how often each event was.
        answers: called with each request's method and URL; what it gives is answered instead.
    """

    def __init__(self, answers: Callable[[str, str], tuple[int, str] | None] = lambda *_: None) -> None:
        self.asked: list[Asked] = []
        self.acknowledged: Counter[int] = Counter()
        self.answers = answers
        self._changed = threading.Condition()
        self._server = _server(self)
        self.port = self._server.server_port

    def answer(self, asked: Asked) -> tuple[int, str]:
        """Write a request down, and answer it."""
        with self._changed:
            self.asked.append(asked)
            self._changed.notify_all()
            if otherwise := self.answers(asked.method, asked.url):
                return otherwise
            if asked.method == "POST":
                self.acknowledged[int(asked.url.split("/")[-2])] += 1
                return 200, "{}"
        after = int(parse_qs(urlsplit(asked.url).query)["after"][0])
        events = [{"id": n, "what": f"event {n}"} for n in range(after + 1, after + 1 + PAGE)]
        return 200, json.dumps({"events": events, "more": True})

    def wait_for(self, seen: Callable[["Feed"], bool]) -> None:
        """Wait until what came is as it should be."""
        with self._changed:
            assert self._changed.wait_for(lambda: seen(self), timeout=20), self.asked[-5:]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that is killed is what the tests are about."""


def _server(feed: Feed) -> _Server:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body = feed.answer(Asked(self.command, self.path, headers))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = answer  # noqa: N815 - http.server's names

        def log_message(self, format: str, *arguments: object) -> None:
            del format, arguments

    return _Server(("127.0.0.1", 0), Handler)
