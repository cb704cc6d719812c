"""A run of the scenarios from the operator's network, as a person starts it there."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.management.waiting import wait_until
from tests.live.standin.left import Left
from tests.live.standin.standin import StandIn

ROOT = Path(__file__).parents[2]
_SECONDS = 600
_GONE_SECONDS = 30


@dataclass(frozen=True)
class Ended:
    """What a run came to."""

    code: int
    output: str
    claims: tuple[dict[str, Any], ...]

    def verdicts(self, subject: str) -> dict[str, str]:
        """The verdicts on one example, by claim."""
        return {c["claim"]: c["verdict"] for c in self.claims if c["subject"] == subject}

    def count(self) -> Counter[str]:
        """How many claims came to which verdict."""
        return Counter(c["verdict"] for c in self.claims)

    def reason(self, subject: str, claim: str) -> str:
        """Why a claim came to its verdict."""
        (found,) = (c["reason"] for c in self.claims if (c["subject"], c["claim"]) == (subject, claim))
        return str(found)


class LiveRun:
    """Owns the process of one run."""

    def __init__(
        self, stand_in: StandIn, reports: Path, *arguments: str, settings: Mapping[str, str] | None = None
    ) -> None:
        """Start `pytest scenarios --site live` with these arguments, from the repository's root.

        Args:
            stand_in: the cluster.
            reports: where the run leaves its reports, and its output.
            arguments: of pytest.
            settings: what the person has set; all that the stand-in says, where it is None.
        """
        reports.mkdir(parents=True, exist_ok=True)
        self._reports = reports
        self._output = reports / "output.txt"
        given = dict(stand_in.settings() if settings is None else settings)
        argv = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "scenarios", "--site", "live")
        with self._output.open("w", encoding="utf-8") as output:
            self._process = stand_in.run(
                (*argv, *arguments),
                {**given, "NOTAILCAR_REPORTS": str(reports)},
                folder=ROOT,
                output=output,
            )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text(encoding="utf-8")

    def until_said(self, words: str, seconds: float = 120) -> None:
        """Wait until it has printed some words. Raises LabError with its output."""
        wait_until(
            lambda: words in self.output or self._process.poll() is not None,
            seconds=seconds,
            what=f"the run says {words!r}",
            tail=lambda: self.output,
            pause=0.1,
        )
        assert words in self.output, self.output

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, and its children with it where that is Ctrl-C, as a terminal does."""
        self._process.send_signal(number)

    def wait(self) -> Ended:
        """Wait for its end."""
        try:
            code = self._process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_GONE_SECONDS)
            raise AssertionError(f"the run did not end in {_SECONDS} s:\n{self.output}") from None
        file = self._reports / "claims.json"
        claims = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
        return Ended(code, self.output, tuple(claims))


def nothing_left(stand_in: StandIn) -> None:
    """Wait until what has been stopped is gone, and fail where something stays."""
    last = Left(("not looked",))

    def gone() -> bool:
        nonlocal last
        last = stand_in.left()
        return not last

    wait_until(gone, seconds=_GONE_SECONDS, what="nothing is left", pause=0.5, tail=lambda: str(last))
