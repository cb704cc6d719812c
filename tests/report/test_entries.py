"""claims.json keeps to its contract, whatever the verdict."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.claims.verdict import Outcome, Verdict
from harness.ledger import facts as f
from harness.ledger.ledger import Observation, from_json
from harness.report import entries
from harness.report.entries import SHOWN_EVIDENCE, ClaimEntry, to_entry
from tests.report import sample

KEYS = ["subject", "claim", "verdict", "reason", "evidence", "seconds"]


def seen(number: int, fact: f.Fact) -> Observation:
    return Observation(number, 1.0 * number, "router", "x", "as-it-stands", fact)


def named(number: int) -> Observation:
    return seen(number, f.NameAsked("203.0.113.10", f"n{number}.test", "A"))


def test_the_contracts_keys_and_no_others(tmp_path: Path) -> None:
    file = tmp_path / "reports" / "claims.json"
    entries.write(sample.record().entries, file)
    data = json.loads(file.read_text(encoding="utf-8"))
    assert [list(entry) for entry in data] == [KEYS] * len(data)
    assert {entry["verdict"] for entry in data} == {"proven", "refuted", "unproven"}
    assert list(file.parent.iterdir()) == [file]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    entries.write(sample.record().entries, tmp_path / "claims.json")
    assert entries.read(tmp_path / "claims.json") == sample.record().entries


def test_evidence_is_observations_with_their_role() -> None:
    one, other = named(1), named(2)
    entry = to_entry("x", "egress.dns", Verdict(Outcome.REFUTED, "r", (one,), (other,)), 0.12345)
    assert [(item["role"], item["of"]) for item in entry.evidence] == [("evidence", 1), ("control", 1)]
    plain = [{k: v for k, v in item.items() if k not in ("role", "of")} for item in entry.evidence]
    assert [from_json(item) for item in plain] == [one, other]
    assert entry.seconds == 0.123


@given(evidence=st.integers(0, 120), controls=st.integers(0, 120))
def test_evidence_is_bounded_and_its_total_said(evidence: int, controls: int) -> None:
    verdict = Verdict(
        Outcome.PROVEN,
        "r",
        tuple(named(i) for i in range(evidence)),
        tuple(named(i) for i in range(controls)),
    )
    entry = to_entry("x", "egress.dns", verdict, 1.0)
    assert len(entry.evidence) <= SHOWN_EVIDENCE
    assert entry.total("evidence") == evidence
    assert entry.total("control") == controls


def test_a_rare_kind_of_evidence_is_not_crowded_out() -> None:
    rare = seen(500, f.SecretScan("task logs", 3, ("line 2",), "m", True))
    verdict = Verdict(Outcome.REFUTED, "r", (*(named(i) for i in range(400)), rare))
    entry = to_entry("x", "secrets.not_exposed", verdict, 1.0)
    assert entry.evidence[-1]["fact"]["kind"] == "SecretScan"
    numbers = [item["number"] for item in entry.evidence]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"verdict": "proven"}, "entry 1: not the keys of a claim: verdict"),
        ([], "entry 1: not the keys of a claim: list"),
        (
            {**dict.fromkeys(KEYS, ""), "verdict": "passed", "evidence": [], "seconds": 0},
            "'passed' is no verdict",
        ),
    ],
)
def test_what_breaks_the_contract_is_refused(tmp_path: Path, data: object, said: str) -> None:
    file = tmp_path / "claims.json"
    file.write_text(json.dumps([data]), encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        entries.read(file)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "claims.json"
    entries.write([], file)
    bad = ClaimEntry("x", "egress.dns", Outcome.PROVEN, "r", [{"role": object()}])
    with pytest.raises(TypeError):
        entries.write([bad], file)
    assert entries.read(file) == ()
    assert list(tmp_path.iterdir()) == [file]
