"""Cells and records for tests."""

from harness.claims.verdict import Outcome
from harness.matrix.cells import Cell
from harness.report.entries import ClaimEntry
from harness.report.record import Failure, RunRecord
from tests.report.sample import topology

VERSIONS = {"nomad": "1.11.3", "tailscale": "1.102.3", "headscale": "0.29.3"}


def cell(name: str = "default", **changed: str) -> Cell:
    return Cell(name, {**VERSIONS, **changed}, tuple(changed))


def entry(verdict: Outcome, claim: str = "egress.address", subject: str = "egress-worker") -> ClaimEntry:
    return ClaimEntry(subject, claim, verdict, f"it is {verdict}")


def record(
    *entries: ClaimEntry,
    versions: dict[str, str] | None = None,
    failures: tuple[Failure, ...] = (),
    outside: dict[str, str] | None = None,
) -> RunRecord:
    return RunRecord(
        run="20261129-101010-abcd",
        began=1_700_000_000.0,
        seconds=12.5,
        versions=VERSIONS if versions is None else versions,
        origins={},
        engine="",
        topology=topology(),
        entries=entries,
        flows=(),
        stages=(),
        commit="",
        outside=outside or {},
        failures=failures,
    )
