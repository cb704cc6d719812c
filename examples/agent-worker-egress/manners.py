"""Manners: what a server's robots.txt allows, when a host may be asked again, what is worth a retry."""

import email.utils
import random
import time
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

from web import SUCCESS, Response

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
SERVER_ERRORS = range(500, 600)
FIRST_PAUSE = 0.5
"""Seconds."""


def rules(answer: Response) -> RobotFileParser:
    """Read a robots.txt as RFC 9309 says: where there is none, everything is allowed.

    So it is by a text that holds no rule, such as a page that is answered on every path. Raises
    ConnectionError where the server could not say: then nothing may be read.
    """
    if answer.status in TRANSIENT or answer.status in SERVER_ERRORS:
        raise ConnectionError(f"robots.txt could not be read: status {answer.status}")
    robots = RobotFileParser()
    text = answer.body.decode("utf-8", "replace") if answer.status in SUCCESS else ""
    robots.parse(text.splitlines())
    return robots


class Turns:
    """When each host may be asked again. Times are those of `time.monotonic`."""

    def __init__(self, delay: float) -> None:
        """Leave at least `delay` seconds between two requests to one host."""
        self._delay = delay
        self._due: dict[str, float] = {}

    def due(self, url: str) -> float:
        """When the host of a URL may be asked next; it may be in the past."""
        return self._due.get(urlsplit(url).netloc, 0.0)

    def asked(self, url: str, delay: float) -> None:
        """Remember that a host was asked just now, and the longer delay that it may have asked for."""
        self._due[urlsplit(url).netloc] = time.monotonic() + max(delay, self._delay)


def pause_after(attempt: int, answer: Response | None) -> float:
    """Seconds to the next attempt: what the server asked for, else doubling, with chance mixed in.

    Chance, so that many workers that failed together do not come back together.
    """
    asked = _retry_after(answer.header("retry-after")) if answer else None
    if asked is not None:
        return asked
    return random.uniform(0.5, 1) * FIRST_PAUSE * 2.0**attempt  # noqa: S311 - no secret


def _retry_after(value: str) -> float | None:
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
