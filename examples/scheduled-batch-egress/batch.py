"""One launch of a periodic job: fetch exports, check them, keep them, and hand in what came of it.

A starting point for your own: it keeps to the proxies that it is given, gives every request a time
limit, names itself, tries again what failed in passing, and ends when it is told to. Standard library only.

Settings, by environment:
    BATCH_EXPORTS      URLs of the exports, comma separated
    BATCH_CONTAINS     text that each export must contain; empty: none
    BATCH_SIZE_LIMIT   bytes that an export may have (16777216)
    BATCH_RESULT_URL   where the result is posted as JSON; empty: nowhere, it is in the log and in the folder
    BATCH_FOLDER       where exports and result are written (data/ in the allocation's shared folder)
    BATCH_INTERVAL     seconds from the end of one export to the next (1)
    BATCH_ATTEMPTS     how often a request is tried (3)
    BATCH_PAUSE        seconds before the second try; twice that before the third, and so on (1)
    BATCH_TIMEOUT      seconds that one request may take without a word (10)

Prints one JSON object an export, and the result. Exit code 0: every export is whole and the result was
taken; 1: it was not so; 2: a setting is wrong; 143: told to stop.
"""

import hashlib
import http.client
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

NAME = "scheduled-batch-egress"
EXIT_STOPPED = 143
LASTING = range(400, 500)
"""Statuses that another try does not change."""


class StoppedError(Exception):
    """Told to stop."""


class FailedError(Exception):
    """A request or a check that failed; `lasting`: another try does not change that."""

    def __init__(self, reason: str, *, lasting: bool) -> None:
        """Say why."""
        super().__init__(reason)
        self.lasting = lasting


@dataclass(frozen=True)
class Settings:
    """What the batch was told to do. Times are seconds."""

    exports: tuple[str, ...]
    contains: str
    size_limit: int
    result_url: str
    folder: Path
    interval: float
    attempts: int
    pause: float
    timeout: float
    name: str
    launch: str

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the environment. Raises ValueError, naming no value, where one is missing or no number."""
        exports = tuple(url.strip() for url in os.environ.get("BATCH_EXPORTS", "").split(",") if url.strip())
        if not exports:
            raise ValueError("BATCH_EXPORTS is not set")
        name = os.environ.get("NOMAD_SHORT_ALLOC_ID", "local")
        shared = Path(os.environ.get("NOMAD_ALLOC_DIR", ".")) / "data"
        return cls(
            exports=exports,
            contains=os.environ.get("BATCH_CONTAINS", ""),
            size_limit=int(os.environ.get("BATCH_SIZE_LIMIT", "16777216")),
            result_url=os.environ.get("BATCH_RESULT_URL", ""),
            folder=Path(os.environ.get("BATCH_FOLDER") or shared),
            interval=float(os.environ.get("BATCH_INTERVAL", "1")),
            attempts=max(1, int(os.environ.get("BATCH_ATTEMPTS", "3"))),
            pause=float(os.environ.get("BATCH_PAUSE", "1")),
            timeout=float(os.environ.get("BATCH_TIMEOUT", "10")),
            name=name,
            # Nomad names each launch of a periodic job by its time: <job>/periodic-<seconds since 1970>.
            launch=os.environ.get("NOMAD_JOB_ID", "").rpartition("/")[2] or name,
        )


@dataclass(frozen=True)
class Export:
    """What became of one export: size, digest and file where it is whole, else the error."""

    url: str
    attempts: int
    size: int | None
    sha256: str | None
    file: str | None
    error: str | None
    seconds: float


class Batch:
    """One launch: sends requests by the proxies of the environment, and writes what came."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        """Send nothing yet."""
        self._settings = settings
        self._stop = stop
        self._sent = 0

    def fetch(self, number: int, url: str) -> Export:
        """Fetch, check and keep one export. A failure is an answer too; raises only StoppedError."""
        began = time.monotonic()
        before = self._sent
        size = digest = file = error = None
        try:
            body = self._persist(url, None)
            self._check(body)
            size, digest = len(body), hashlib.sha256(body).hexdigest()
            file = f"export-{number}"
            write(self._settings.folder / file, body)
        except (FailedError, OSError) as problem:
            error, file = str(problem), None
        return Export(url, self._sent - before, size, digest, file, error, round(time.monotonic() - began, 3))

    def hand_in(self, result: bytes) -> None:
        """Post the result. Raises FailedError when it was not taken."""
        if self._settings.result_url:
            self._persist(self._settings.result_url, result)

    def rest(self, seconds: float) -> None:
        """Wait. Raises StoppedError."""
        if self._stop.wait(seconds):
            raise StoppedError

    def _check(self, body: bytes) -> None:
        if not body.strip():
            raise FailedError("the export is empty", lasting=True)
        if self._settings.contains.encode() not in body:
            raise FailedError("the export does not contain what each must", lasting=True)

    def _persist(self, url: str, result: bytes | None) -> bytes:
        """Send a request until it is answered or must be given up."""
        pause = self._settings.pause
        for attempt in range(1, self._settings.attempts + 1):
            try:
                return self._send(url, result)
            except FailedError as problem:
                if problem.lasting or attempt == self._settings.attempts:
                    raise
            self.rest(pause)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def _send(self, url: str, result: bytes | None) -> bytes:
        if self._stop.is_set():
            raise StoppedError
        self._sent += 1
        headers = {
            "User-Agent": f"{NAME}/{self._settings.name}",
            "X-Request-Token": f"{self._settings.name}-{self._sent}",
        }
        if result is not None:
            headers["Content-Type"] = "application/json"
            # The same for a second try and for a restarted task: so a result that comes twice is known.
            headers["Idempotency-Key"] = self._settings.launch
        request = urllib.request.Request(url, data=result, headers=headers)  # noqa: S310 - the operator's own
        limit = self._settings.size_limit
        try:
            with urllib.request.urlopen(request, timeout=self._settings.timeout) as response:  # noqa: S310
                body: bytes = response.read(limit + 1)
                # Read with a limit, a body that breaks off is no error of the library's.
                if response.length and len(body) <= limit:
                    raise FailedError(f"broke off after {len(body)} bytes", lasting=False)
        except urllib.error.HTTPError as problem:
            raise FailedError(f"status {problem.code}", lasting=problem.code in LASTING) from problem
        except (OSError, http.client.HTTPException) as problem:
            raise FailedError(f"{type(problem).__name__}: {problem}", lasting=False) from problem
        if len(body) > limit:
            raise FailedError(f"longer than {limit} bytes", lasting=True)
        return body


def write(file: Path, content: bytes) -> None:
    """Write a file so that it is there as a whole or not at all, whenever the machine stops."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.new")
    with unfinished.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.rename(file)


def run(batch: Batch, settings: Settings) -> str | None:
    """Do all that a launch does; say what is wrong, or None. Raises StoppedError."""
    exports = []
    for number, url in enumerate(settings.exports, 1):
        if number > 1:
            batch.rest(settings.interval)
        exports.append(asdict(batch.fetch(number, url)))
        print(json.dumps(exports[-1]), flush=True)
    result = {"launch": settings.launch, "allocation": settings.name, "exports": exports}
    text = json.dumps(result)
    write(settings.folder / "result.json", text.encode())
    print(text, flush=True)
    if failed := [f"{e['url']}: {e['error']}" for e in exports if e["error"]]:
        return "; ".join(failed)
    try:
        batch.hand_in(text.encode())
    except FailedError as problem:
        return f"{settings.result_url}: {problem}"
    return None


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
    try:
        wrong = run(Batch(settings, stop), settings)
    except StoppedError:
        return EXIT_STOPPED
    if wrong:
        print(f"{NAME}: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
