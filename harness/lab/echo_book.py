"""The echo service's own book (fixtures/echo/echo.py), read as facts. Pure."""

import json
from dataclasses import dataclass
from typing import Any

from harness.errors import LabError
from harness.ledger.facts import RequestSeen


@dataclass(frozen=True)
class EchoLine:
    """One line of the book."""

    number: int
    at: float
    told: str
    request: RequestSeen

    @property
    def lied_to(self) -> bool:
        """Whether the caller was told another address than its own."""
        return self.told != self.request.peer


def line(seen: dict[str, Any]) -> EchoLine:
    """Read one line. Raises KeyError or TypeError when it is none."""
    return EchoLine(
        number=seen["number"],
        at=seen["at"],
        told=seen["told"],
        request=RequestSeen(
            protocol=seen["protocol"],
            peer=seen["peer"],
            peer_port=seen["peer_port"],
            local=seen["local"],
            token=seen["token"],
            agent=seen["agent"],
            target=seen["target"],
            seen_at=seen["at"],
        ),
    )


def read(text: str) -> list[EchoLine]:
    """Read the whole book. Raises LabError when a line is missing: then its silence proves nothing."""
    lines = []
    for expected, written in enumerate(text.splitlines(), start=1):
        try:
            seen = line(json.loads(written))
        except (KeyError, TypeError, ValueError) as error:
            raise LabError(
                f"line {expected} of the echo service's book cannot be read: {written[:120]!r}"
            ) from error
        if seen.number != expected:
            raise LabError(f"the echo service's book skips from request {expected - 1} to {seen.number}")
        lines.append(seen)
    return lines
