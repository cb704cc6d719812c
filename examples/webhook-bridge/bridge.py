"""Brings events in without being reachable: asks for them, hands each on, then says so to where it came from.

What others do by a public webhook receiver, by polling. The order makes it safe: an event is handed over
before it is acknowledged, and acknowledged before the cursor moves past it. So a kill at any point repeats
a step at most, and loses none; the handler knows an event that comes again by its id. Standard library only.

Settings, by environment:
    BRIDGE_FEED_URL       the events API: GET ?after=ID gives a page, POST /ID/ack acknowledges
    BRIDGE_TOKEN_FILE     file with the bearer token for it; empty: none
    BRIDGE_HANDLER_URL    where events are handed on, on loopback
    BRIDGE_FOLDER         where the cursor is kept (data/bridge in the allocation's shared folder)
    BRIDGE_AFTER          the event to begin after, where there is no cursor yet (0)
    BRIDGE_EVENTS         how many events it passes on before it ends; 0: it never does (0)
    BRIDGE_INTERVAL       seconds between two polls, unless the feed says that there is more (10)
    BRIDGE_ATTEMPTS       how often in a row a request may fail (10)
    BRIDGE_LONGEST_PAUSE  seconds between two attempts, at most (60)
    BRIDGE_TIMEOUT        seconds that one request may take (10)
    HTTP_PROXY, HTTPS_PROXY   the only ways out to the feed, both required

Prints one JSON object an event and one a failed request. Exit code 0: BRIDGE_EVENTS were passed on; 1: a
request failed too often; 2: a setting or the cursor is wrong; 143: told to stop.
"""

import http.client
import json
import os
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from cursor import Cursor, Position

NAME = "webhook-bridge"
EXIT_STOPPED = 143
BODY_LIMIT = 1 << 20
FIRST_PAUSE = 0.2
Answer = TypeVar("Answer")


class StoppedError(Exception):
    """Told to stop."""


class FailedError(Exception):
    """A request that did not do what it was sent for."""


@dataclass(frozen=True)
class Settings:
    """What the bridge was told to do. Times are seconds."""

    feed: str
    token_file: str
    handler: str
    folder: Path
    after: int
    events: int
    interval: float
    attempts: int
    longest_pause: float
    timeout: float
    proxies: dict[str, str]
    name: str

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the environment. Raises ValueError where a setting is missing, no number or no URL."""
        given = os.environ
        shared = Path(given.get("NOMAD_ALLOC_DIR", ".")) / "data" / "bridge"
        return cls(
            feed=_url("BRIDGE_FEED_URL").rstrip("/"),
            token_file=given.get("BRIDGE_TOKEN_FILE", ""),
            handler=_url("BRIDGE_HANDLER_URL"),
            folder=Path(given.get("BRIDGE_FOLDER") or shared),
            after=int(given.get("BRIDGE_AFTER", "0")),
            events=int(given.get("BRIDGE_EVENTS", "0")),
            interval=float(given.get("BRIDGE_INTERVAL", "10")),
            attempts=int(given.get("BRIDGE_ATTEMPTS", "10")),
            longest_pause=float(given.get("BRIDGE_LONGEST_PAUSE", "60")),
            timeout=float(given.get("BRIDGE_TIMEOUT", "10")),
            proxies={scheme: _url(f"{scheme.upper()}_PROXY") for scheme in ("http", "https")},
            name=given.get("NOMAD_SHORT_ALLOC_ID", "local"),
        )


def _url(name: str) -> str:
    """Give a setting that is a URL. Raises ValueError, naming no value."""
    url = os.environ.get(name, "")
    if not url:
        raise ValueError(f"{name} is not set")
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise ValueError(f"{name} is not an http or https URL")
    return url


@dataclass(frozen=True)
class Event:
    """One event: its number, and all that the feed says of it."""

    id: int
    content: dict[str, Any]


@dataclass(frozen=True)
class Page:
    """Some events, and whether the next page has some already."""

    events: tuple[Event, ...]
    more: bool


def read_page(text: bytes, after: int) -> Page:
    """Read a page of events. Raises FailedError unless all come after `after`, each after the one before.

    What is out of order would move the cursor past an event that was never handed on.
    """
    try:
        page = json.loads(text)
        events = tuple(Event(int(content["id"]), content) for content in page["events"])
        more = bool(events and page.get("more"))
    except (KeyError, TypeError, ValueError) as problem:
        raise FailedError("the feed's answer is not a page of events") from problem
    for event in events:
        if event.id <= after:
            raise FailedError(f"the feed gave event {event.id} after {after}")
        after = event.id
    return Page(events, more)


class Wire:
    """Sends requests: to the feed by the proxies alone, to the handler without them."""

    def __init__(self, settings: Settings) -> None:
        """Send nothing yet."""
        self._settings = settings
        self._sent = 0
        self._out = urllib.request.build_opener(urllib.request.ProxyHandler(settings.proxies))
        self._inside = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def page(self, after: int) -> Page:
        """Ask for the events after one. Raises FailedError."""
        return read_page(self._to_feed("GET", f"{self._settings.feed}?after={after}"), after)

    def acknowledge(self, event: Event) -> None:
        """Tell the feed that an event is in good hands. Raises FailedError."""
        self._to_feed("POST", f"{self._settings.feed}/{event.id}/ack", key=f"ack-{event.id}")

    def hand_over(self, event: Event) -> bool:
        """Give an event to the handler; whether it was new to it. Raises FailedError."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(event.id)}
        content = json.dumps(event.content).encode()
        answer = self._send(self._inside, "POST", self._settings.handler, headers, content)
        try:
            return not json.loads(answer)["duplicate"]
        except (KeyError, TypeError, ValueError) as problem:
            raise FailedError("the handler's answer cannot be read") from problem

    def _to_feed(self, method: str, url: str, key: str = "") -> bytes:
        self._sent += 1
        headers = {
            "User-Agent": f"{NAME}/{self._settings.name}",
            # How an observer at the other end tells this request from all others.
            "X-Request-Token": f"{self._settings.name}-{self._sent}",
        }
        if key:
            headers["Idempotency-Key"] = key
        if self._settings.token_file:
            # Read each time: a token that is renewed is used at once.
            token = Path(self._settings.token_file).read_text(encoding="ascii").strip()
            headers["Authorization"] = f"Bearer {token}"
        return self._send(self._out, method, url, headers, b"" if method == "POST" else None)

    def _send(
        self,
        opener: urllib.request.OpenerDirector,
        method: str,
        url: str,
        headers: dict[str, str],
        content: bytes | None,
    ) -> bytes:
        request = urllib.request.Request(url, data=content, headers=headers, method=method)  # noqa: S310
        try:
            with opener.open(request, timeout=self._settings.timeout) as response:
                body: bytes = response.read(BODY_LIMIT + 1)
        except urllib.error.HTTPError as problem:
            raise FailedError(f"status {problem.code}") from problem
        except (OSError, http.client.HTTPException) as problem:
            raise FailedError(f"{type(problem).__name__}: {problem}") from problem
        if len(body) > BODY_LIMIT:
            raise FailedError(f"an answer longer than {BODY_LIMIT} bytes")
        return body


class Bridge:
    """Passes on one event after another, and never the next before the last is done with."""

    def __init__(self, settings: Settings, cursor: Cursor, stop: threading.Event) -> None:
        """Begin where the cursor stands."""
        self._settings = settings
        self._cursor = cursor
        self._wire = Wire(settings)
        self._stop = stop

    def run(self) -> None:
        """Pass events on until there were as many as asked for. Raises FailedError, StoppedError."""
        position = self._cursor.read(self._settings.after)
        while not self._done(position):
            page = self._insist("poll", partial(self._wire.page, position.after))
            for event in page.events:
                position = self._pass_on(event, position)
                if self._done(position):
                    return
            if not page.more:
                self._rest(self._settings.interval)

    def _pass_on(self, event: Event, position: Position) -> Position:
        new = self._insist(f"hand over {event.id}", partial(self._wire.hand_over, event))
        self._insist(f"acknowledge {event.id}", partial(self._wire.acknowledge, event))
        moved = Position(event.id, position.passed + 1)
        self._cursor.write(moved)
        print(json.dumps({"event": event.id, "new": new, "passed": moved.passed}), flush=True)
        return moved

    def _done(self, position: Position) -> bool:
        return 0 < self._settings.events <= position.passed

    def _insist(self, what: str, request: Callable[[], Answer]) -> Answer:
        """Send a request until it does what it is for. No event is left out: what comes after it waits."""
        pause = FIRST_PAUSE
        for attempt in range(1, self._settings.attempts + 1):
            if self._stop.is_set():
                raise StoppedError
            try:
                return request()
            except FailedError as problem:
                print(json.dumps({"failed": what, "attempt": attempt, "error": str(problem)}), flush=True)
                error = problem
            self._rest(pause)
            pause = min(2 * pause, self._settings.longest_pause)
        raise FailedError(f"could not {what}: {error}")

    def _rest(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise StoppedError


def main() -> int:
    """Run as the environment says; give the exit code."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    # As process 1 of its container it would not hear these otherwise.
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)

    try:
        settings = Settings.from_environment()
        Bridge(settings, Cursor(settings.folder), stop).run()
    except ValueError as problem:
        print(f"{NAME}: {problem}", file=sys.stderr)
        return 2
    except StoppedError:
        return EXIT_STOPPED
    except (FailedError, OSError) as problem:
        print(f"{NAME}: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
