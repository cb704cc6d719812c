"""The record of a run survives its file."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.claims.verdict import Outcome
from harness.report import record as records
from tests.report import sample


def test_what_is_written_is_read(tmp_path: Path) -> None:
    records.write(sample.record(), tmp_path / "run.json")
    assert records.read(tmp_path / "run.json") == sample.record()


def test_a_wrong_file_names_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"run": "x"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"run\.json.*began"):
        records.read(tmp_path / "run.json")


def test_the_worst_verdict_is_the_runs() -> None:
    whole = sample.record()
    assert whole.outcome is Outcome.REFUTED
    unrefuted = tuple(e for e in whole.entries if e.verdict is not Outcome.REFUTED)
    assert replace(whole, entries=unrefuted).outcome is Outcome.UNPROVEN
    assert sample.record(leaky=False).outcome is Outcome.PROVEN


def test_a_run_without_claims_proves_nothing() -> None:
    assert replace(sample.record(), entries=()).outcome is Outcome.UNPROVEN


def test_every_address_has_its_hosts_name() -> None:
    names = sample.record().names()
    assert (names["10.20.0.10"], names["2001:db8:53::53"]) == ("node", "internet")
