"""A worker that asks the same question again and again: which address do you see?

A starting point for your own: it keeps to the proxies that it is given, gives every request a time
limit, names itself, and ends when it is told to. Standard library only.

Settings, by environment:
    WORKER_URLS                what is asked, in turn, comma separated; each answers an address as text
    WORKER_REQUESTS            how many requests in all (10)
    WORKER_INTERVAL            seconds from the start of one to the start of the next (0.1)
    WORKER_TIMEOUT             seconds that one request may take (10)
    WORKER_TOLERATED_FAILURES  how many may get no answer (2)

Prints one JSON object a request. Exit code 0: enough were answered, and each URL at least once; 1:
they were not; 2: a setting is wrong; 143: told to stop.
"""

import http.client
import ipaddress
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from types import FrameType

EXIT_STOPPED = 143
ADDRESS_LIMIT = 256
SUCCESS = range(200, 300)


@dataclass(frozen=True)
class Settings:
    """What the worker was told to do. Times are seconds."""

    urls: tuple[str, ...]
    requests: int
    interval: float
    timeout: float
    tolerated_failures: int
    name: str

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the environment. Raises ValueError, naming no value, where one is missing or no number."""
        urls = tuple(url.strip() for url in os.environ.get("WORKER_URLS", "").split(",") if url.strip())
        if not urls:
            raise ValueError("WORKER_URLS is not set")
        return cls(
            urls=urls,
            requests=int(os.environ.get("WORKER_REQUESTS", "10")),
            interval=float(os.environ.get("WORKER_INTERVAL", "0.1")),
            timeout=float(os.environ.get("WORKER_TIMEOUT", "10")),
            tolerated_failures=int(os.environ.get("WORKER_TOLERATED_FAILURES", "2")),
            name=os.environ.get("NOMAD_SHORT_ALLOC_ID", "local"),
        )


@dataclass(frozen=True)
class Answer:
    """What became of one request: status and address where there was an answer, else the error."""

    url: str
    token: str
    status: int | None
    address: str | None
    error: str | None
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether an address came back."""
        return self.address is not None


def ask(url: str, token: str, settings: Settings) -> Answer:
    """Send one request through the proxies of the environment; a failure is an answer too, never raised."""
    # The token is how an observer at the other end tells this request from all others. It stands in a
    # header, because addresses with a query end up in caches and logs.
    request = urllib.request.Request(  # noqa: S310 - the URLs are the operator's own
        url, headers={"User-Agent": f"egress-worker/{settings.name}", "X-Request-Token": token}
    )
    status: int | None = None
    address: str | None = None
    error: str | None = None
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=settings.timeout) as response:  # noqa: S310
            status = response.status
            text = response.read(ADDRESS_LIMIT).decode("ascii", "replace").strip()
            address = str(ipaddress.ip_address(text))
    except urllib.error.HTTPError as problem:
        status, error = problem.code, str(problem)
    except (OSError, http.client.HTTPException, ValueError) as problem:
        error = f"{type(problem).__name__}: {problem}"
    return Answer(url, token, status, address, error, round(time.monotonic() - began, 3))


def verdict(answers: list[Answer], settings: Settings) -> str | None:
    """Say what is wrong with a finished run, or None.

    About one short connection in 150 times out in tailscaled's userspace mode with nothing wrong at
    all, so a lone failure does not fail the run.
    """
    failures = sum(not answer.ok for answer in answers)
    if failures > settings.tolerated_failures:
        return f"{failures} of {len(answers)} requests failed, {settings.tolerated_failures} are tolerated"
    asked = {answer.url for answer in answers}
    silent = sorted(asked - {answer.url for answer in answers if answer.ok})
    return f"no answer at all from {', '.join(silent)}" if silent else None


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
        print(f"egress-worker: {problem}", file=sys.stderr)
        return 2

    answers: list[Answer] = []
    due = time.monotonic()
    for number in range(settings.requests):
        if stop.wait(max(0.0, due - time.monotonic())):
            return EXIT_STOPPED
        due += settings.interval
        url = settings.urls[number % len(settings.urls)]
        answers.append(ask(url, f"{settings.name}-{number + 1}", settings))
        print(json.dumps(asdict(answers[-1])), flush=True)

    shortfall = verdict(answers, settings)
    if shortfall:
        print(f"egress-worker: {shortfall}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
