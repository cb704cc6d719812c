"""One worker of a pool: takes its share of a list by its place in the pool, and does that.

A starting point for your own: nobody hands out work, and no two workers do the same. It keeps to the
proxies that it is given, gives every request a time limit, names itself, tries again what failed in
passing, and ends when it is told to. Standard library only.

Settings, by environment:
    POOL_URLS         the work of the whole pool, comma separated
    POOL_SIZE         how many workers the pool has
    POOL_INTERVAL     seconds from the start of one to the start of the next (0.1)
    POOL_ATTEMPTS     how often a URL is tried (3)
    POOL_PAUSE        seconds before another try (1)
    POOL_TIMEOUT      seconds that one request may take (10)
    NOMAD_ALLOC_INDEX this worker's place, from 0; Nomad gives it, and gives it again to a replacement

Prints one JSON object a URL. Exit code 0: all of the share is done, and be it empty; 1: it is not; 2: a
setting is wrong; 143: told to stop.
"""

import http.client
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import FrameType

NAME = "multi-worker-pool"
EXIT_STOPPED = 143
BODY_LIMIT = 1 << 20


@dataclass(frozen=True)
class Settings:
    """What the worker was told to do. Times are seconds."""

    urls: tuple[str, ...]
    size: int
    index: int
    interval: float
    attempts: int
    pause: float
    timeout: float
    name: str

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the environment. Raises ValueError where a setting is missing, no number, or out of range."""
        urls = tuple(url.strip() for url in os.environ.get("POOL_URLS", "").split(",") if url.strip())
        if not urls:
            raise ValueError("POOL_URLS is not set")
        size, index = int(os.environ.get("POOL_SIZE", "1")), int(os.environ.get("NOMAD_ALLOC_INDEX", "0"))
        if not 0 <= index < size:
            raise ValueError(f"place {index} is not in a pool of {size}: POOL_SIZE must be the group's count")
        return cls(
            urls=urls,
            size=size,
            index=index,
            interval=float(os.environ.get("POOL_INTERVAL", "0.1")),
            attempts=max(1, int(os.environ.get("POOL_ATTEMPTS", "3"))),
            pause=float(os.environ.get("POOL_PAUSE", "1")),
            timeout=float(os.environ.get("POOL_TIMEOUT", "10")),
            name=os.environ.get("NOMAD_SHORT_ALLOC_ID", "local"),
        )


@dataclass(frozen=True)
class Outcome:
    """What became of one URL: status and size where there was an answer, else the error."""

    index: int
    url: str
    token: str
    attempts: int
    status: int | None
    size: int | None
    error: str | None
    seconds: float


def share(work: Sequence[str], index: int, size: int) -> Sequence[str]:
    """Give one worker's part: every item is in exactly one, and no part has two items more than another."""
    return work[index::size]


class Worker:
    """Does one item after another, by the proxies of the environment."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        """Send nothing yet."""
        self._settings = settings
        self._stop = stop
        self._sent = 0

    def do(self, url: str) -> Outcome | None:
        """Do one item; None: told to stop. A failure is an answer too, never raised."""
        settings = self._settings
        began = time.monotonic()
        status: int | None = None
        size: int | None = None
        error: str | None = None
        token = ""
        attempt = 0
        while attempt < settings.attempts:
            if self._stop.wait(settings.pause if attempt else 0):
                return None
            attempt += 1
            self._sent += 1
            token = f"{settings.name}-{self._sent}"
            try:
                status, size = self._ask(url, token)
                error = None
                break
            except urllib.error.HTTPError as problem:
                status, error = problem.code, str(problem)
                # The server's last word, unless it is in trouble itself.
                if problem.code < http.client.INTERNAL_SERVER_ERROR:
                    break
            except (OSError, http.client.HTTPException) as problem:
                error = f"{type(problem).__name__}: {problem}"
        seconds = round(time.monotonic() - began, 3)
        return Outcome(settings.index, url, token, attempt, status, size, error, seconds)

    def _ask(self, url: str, token: str) -> tuple[int, int]:
        headers = {"User-Agent": f"{NAME}/{self._settings.name}", "X-Request-Token": token}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the URLs are the operator's own
        with urllib.request.urlopen(request, timeout=self._settings.timeout) as response:  # noqa: S310
            return response.status, len(response.read(BODY_LIMIT))


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
    except ValueError as problem:
        print(f"{NAME}: {problem}", file=sys.stderr)
        return 2

    worker = Worker(settings, stop)
    failed = []
    due = time.monotonic()
    for url in share(settings.urls, settings.index, settings.size):
        stopped = stop.wait(max(0.0, due - time.monotonic()))
        due = time.monotonic() + settings.interval
        outcome = None if stopped else worker.do(url)
        if outcome is None:
            return EXIT_STOPPED
        print(json.dumps(asdict(outcome)), flush=True)
        if outcome.error:
            failed.append(f"{url}: {outcome.error}")
    if failed:
        print(f"{NAME}: {'; '.join(failed)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
