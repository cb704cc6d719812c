"""What a run has found, from its reports/claims.json."""

import json
from typing import Any

from tests.robustness.commands import Command

Claim = dict[str, Any]


def claims(run: Command) -> dict[tuple[str, str], Claim]:
    """Each entry, by example and claim."""
    entries = json.loads((run.reports / "claims.json").read_text(encoding="utf-8"))
    return {(entry["subject"], entry["claim"]): entry for entry in entries}


def proves_everything(run: Command) -> None:
    """Wait for its end: every claim of egress-worker is proven, and the exit code says so."""
    assert run.wait() == 0, run.output
    found = claims(run)
    assert {subject for subject, _ in found} == {"egress-worker"}
    assert len(found) >= 7
    assert {entry["verdict"] for entry in found.values()} == {"proven"}, run.output
