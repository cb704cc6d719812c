"""What becomes of a cell, and of all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.claims.verdict import Outcome
from harness.errors import EXIT_LAB, EXIT_PROVEN, EXIT_REFUTED, EXIT_USAGE
from harness.matrix.outcome import CellResult, Standing, differences, exit_code, grid, judge, not_run
from harness.report.record import Failure, RunRecord
from tests.matrix.build import VERSIONS, cell, entry, record

PROVEN, REFUTED, UNPROVEN = (
    entry(outcome) for outcome in (Outcome.PROVEN, Outcome.REFUTED, Outcome.UNPROVEN)
)

LOST = Failure("one", "egress.address", "no engine answers")


def judged(code: int, made: RunRecord | None, name: str = "default", **told: bool) -> CellResult:
    return judge(
        cell(name), code, made, seconds=1.25, folder="matrix/default", page="", said="the last word", **told
    )


@pytest.mark.parametrize(
    ("code", "made", "standing"),
    [
        (EXIT_PROVEN, record(PROVEN), Standing.PROVEN),
        (EXIT_REFUTED, record(PROVEN, REFUTED, UNPROVEN), Standing.REFUTED),
        (EXIT_REFUTED, record(PROVEN, UNPROVEN), Standing.UNPROVEN),
        (EXIT_LAB, record(PROVEN, failures=(LOST,)), Standing.FAILED),
        (EXIT_LAB, None, Standing.FAILED),
        (EXIT_USAGE, None, Standing.USAGE),
        (EXIT_USAGE, record(outside={"one": "why"}), Standing.OUTSIDE),
        # Nothing of the contract: a killed process, a mistake in a scenario, an empty success.
        (-9, record(PROVEN), Standing.FAILED),
        (EXIT_REFUTED, record(PROVEN), Standing.FAILED),
        (EXIT_PROVEN, record(), Standing.FAILED),
        (EXIT_PROVEN, None, Standing.FAILED),
    ],
)
def test_a_cell_stands_as_its_run_ended(code: int, made: RunRecord | None, standing: Standing) -> None:
    assert judged(code, made).standing is standing


def test_a_cell_cannot_claim_a_version_that_it_did_not_run() -> None:
    found = judged(EXIT_PROVEN, record(PROVEN, versions={**VERSIONS, "tailscale": "1.98.9"}))
    assert found.standing is Standing.FAILED
    assert found.errors == ("tailscale 1.98.9 ran, where 1.102.3 was asked for",)
    assert exit_code([found]) == EXIT_LAB


def test_a_program_that_no_lab_of_the_cell_has_is_no_contradiction() -> None:
    without = {name: version for name, version in VERSIONS.items() if name != "headscale"}
    assert judged(EXIT_PROVEN, record(PROVEN, versions=without)).standing is Standing.PROVEN


def test_a_run_without_a_record_is_told_by_what_it_said_last() -> None:
    assert judged(EXIT_LAB, None).errors == ("the last word",)
    assert judged(EXIT_LAB, record(failures=(LOST,))).errors == (LOST.reason,)


def test_what_was_called_off_says_so_whatever_its_run_came_to() -> None:
    found = judged(EXIT_USAGE, record(PROVEN), interrupted=True)
    assert found.standing is Standing.INTERRUPTED
    assert found.count(Outcome.PROVEN) == 1


def test_a_failing_lab_does_not_hide_a_refuted_claim() -> None:
    cells = [
        judged(EXIT_PROVEN, record(PROVEN)),
        judged(EXIT_REFUTED, record(REFUTED)),
        judged(EXIT_LAB, None),
    ]
    assert exit_code(cells) == EXIT_REFUTED
    assert exit_code([cells[0], cells[2]]) == EXIT_LAB
    assert exit_code([cells[0]]) == EXIT_PROVEN


def test_cells_that_have_nothing_to_show_prove_nothing_and_harm_nothing() -> None:
    nothing = judged(EXIT_USAGE, record(outside={"one": "why"}))
    assert exit_code([nothing]) == EXIT_USAGE
    assert exit_code([nothing, judged(EXIT_PROVEN, record(PROVEN))]) == EXIT_PROVEN


@given(st.lists(st.sampled_from(Standing), min_size=1))
def test_nothing_is_proven_by_a_cell_that_was_not_run_to_its_end(standings: list[Standing]) -> None:
    results = [CellResult("c", {}, (), standing) for standing in standings]
    good = {Standing.PROVEN, Standing.OUTSIDE}
    assert (exit_code(results) == EXIT_PROVEN) == (set(standings) <= good and Standing.PROVEN in standings)
    if {Standing.REFUTED, Standing.UNPROVEN} & set(standings):
        assert exit_code(results) == EXIT_REFUTED


def test_the_grid_has_each_claim_once_and_tells_where_versions_matter() -> None:
    other = entry(Outcome.PROVEN, "egress.dns")
    first = judge(cell(), 0, record(PROVEN, other), seconds=1, folder="", page="")
    second = judge(cell("nomad-1.10.5"), 1, record(REFUTED), seconds=1, folder="", page="")
    third = not_run(cell("headscale-0.28.0"))
    rows = grid([first, second, third])
    assert [(row.claim, list(row.verdicts)) for row in rows] == [
        ("egress.address", ["default", "nomad-1.10.5"]),
        ("egress.dns", ["default", "nomad-1.10.5"]),
    ]
    assert rows[1].verdicts["nomad-1.10.5"] is None
    assert [row.claim for row in differences(rows)] == ["egress.address"]
