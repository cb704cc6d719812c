"""reports/claims.json: a verdict as an entry of the contract, written and read."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.claims.verdict import Outcome, Verdict
from harness.ledger.ledger import Observation, to_json
from harness.report.files import write_whole

Role = Literal["evidence", "control"]

SHOWN_EVIDENCE = 50
"""At most so many observations an entry, controls among them: a report is read by people."""
_SHOWN_CONTROLS = 15
_KEYS = frozenset(("subject", "claim", "verdict", "reason", "evidence", "seconds"))


@dataclass(frozen=True)
class ClaimEntry:
    """One claim of one example: an entry of reports/claims.json, with the contract's keys and no others."""

    subject: str
    claim: str
    verdict: Outcome
    reason: str
    evidence: list[dict[str, Any]] = field(default_factory=list)
    """Observations as `harness.ledger.ledger.to_json` gives them, each with two keys more: `role`
    (evidence or control), and `of`, how many of that role there were before the list was bounded."""
    seconds: float = 0.0
    """How long it took to come to the verdict."""

    def items(self, role: Role) -> list[dict[str, Any]]:
        """The observations of a role."""
        return [item for item in self.evidence if item["role"] == role]

    def total(self, role: Role) -> int:
        """How many observations of a role the verdict rests on, shown or not."""
        return next((int(item["of"]) for item in self.items(role)), 0)


def to_entry(subject: str, claim_id: str, verdict: Verdict, seconds: float) -> ClaimEntry:
    """Give a verdict as an entry; at most `SHOWN_EVIDENCE` observations are kept, of each kind its share."""
    controls = _share(verdict.controls, min(_SHOWN_CONTROLS, SHOWN_EVIDENCE))
    evidence = _share(verdict.evidence, SHOWN_EVIDENCE - len(controls))
    return ClaimEntry(
        subject=subject,
        claim=claim_id,
        verdict=verdict.outcome,
        reason=verdict.reason,
        evidence=[
            *_items("evidence", evidence, len(verdict.evidence)),
            *_items("control", controls, len(verdict.controls)),
        ],
        seconds=round(seconds, 3),
    )


def _items(role: Role, observations: Iterable[Observation], total: int) -> list[dict[str, Any]]:
    return [{**to_json(o), "role": role, "of": total} for o in observations]


def _share(observations: Sequence[Observation], limit: int) -> list[Observation]:
    """Keep `limit` of them in their order: the first of every kind before the second of any."""
    kinds: defaultdict[type, int] = defaultdict(int)
    ranked = []
    for position, observation in enumerate(observations):
        kind = type(observation.fact)
        ranked.append((kinds[kind], position))
        kinds[kind] += 1
    kept = sorted(position for _, position in sorted(ranked)[:limit])
    return [observations[position] for position in kept]


def write(entries: Iterable[ClaimEntry], file: Path) -> None:
    """Write claims.json, whole or not at all."""
    data = [asdict(entry) for entry in entries]
    write_whole(file, json.dumps(data, ensure_ascii=False, indent=2) + "\n")


def read(file: Path) -> tuple[ClaimEntry, ...]:
    """Read claims.json. Raises FileNotFoundError, or ValueError naming the entry that breaks the contract."""
    data = json.loads(file.read_text(encoding="utf-8"))
    items = data if isinstance(data, list) else [data]
    return tuple(from_data(item, f"{file}: entry {number}") for number, item in enumerate(items, 1))


def from_data(data: object, where: str) -> ClaimEntry:
    """Read one entry. Raises ValueError, beginning with `where`, on other keys or another verdict."""
    if not isinstance(data, dict) or set(data) != _KEYS:
        found = ", ".join(sorted(data)) if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"{where}: not the keys of a claim: {found}")
    try:
        outcome = Outcome(data["verdict"])
    except ValueError as error:
        raise ValueError(f"{where}: {data['verdict']!r} is no verdict") from error
    evidence = data["evidence"]
    if not isinstance(evidence, list) or not all(isinstance(e, dict) and "role" in e for e in evidence):
        raise ValueError(f"{where}: evidence is no list of observations, each with its role")
    if wrong := [key for key in ("subject", "claim", "reason") if not isinstance(data[key], str)]:
        raise ValueError(f"{where}: no text: {', '.join(wrong)}")
    return ClaimEntry(**{**data, "verdict": outcome})
