"""What people and scripts see of a version matrix."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from harness.claims.verdict import Outcome
from harness.matrix import shown
from harness.matrix.outcome import CellResult, judge, not_run
from harness.matrix.shown import Matrix
from tests.matrix.build import VERSIONS, cell, entry, record

PROVEN, REFUTED = entry(Outcome.PROVEN), entry(Outcome.REFUTED)


def ended(name: str, code: int, *entries: object, changed: dict[str, str] | None = None) -> CellResult:
    other = changed or {}
    made = record(*entries, versions={**VERSIONS, **other})  # type: ignore[arg-type] # entries of a claim
    return judge(
        cell(name, **other), code, made, seconds=75, folder=f"matrix/{name}", page=f"matrix/{name}/m.html"
    )


@pytest.fixture
def mixed() -> Matrix:
    cells = (
        ended("default", 0, PROVEN),
        ended("tailscale-1.98.9", 1, REFUTED, changed={"tailscale": "1.98.9"}),
        judge(
            cell("nomad-1.10.5", nomad="1.10.5"),
            3,
            None,
            seconds=3,
            folder="matrix/n",
            page="",
            said="<no engine>",
        ),
        not_run(cell("headscale-0.28.0", headscale="0.28.0")),
    )
    return Matrix(1_800_000_000.0, 100.0, "Every scenario over the jobs of examples/", False, cells)


def on_terminal(matrix: Matrix) -> str:
    stream = io.StringIO()
    Console(width=140, file=stream).print(shown.table(matrix, "reports"))
    return stream.getvalue()


def test_the_table_has_a_row_a_cell_with_versions_counts_and_time(mixed: Matrix) -> None:
    lines = on_terminal(mixed).splitlines()
    assert lines[0].split() == [
        *("cell", "nomad", "tailscale", "headscale", "proven", "refuted", "unproven", "worst", "time")
    ]
    assert lines[1].split() == ["default", "1.11.3", "1.102.3", "0.29.3", "1", "0", "0", "proven", "1:15"]
    assert lines[2].split()[2] == "1.98.9"
    # In brackets: what was asked for, and nobody said that it ran.
    assert lines[3].split()[:2] == ["nomad-1.10.5", "(1.10.5)"]
    assert lines[4].split()[-3:] == ["not", "run", "-"]


def test_below_the_table_stands_what_is_not_proven_and_what_went_wrong(mixed: Matrix) -> None:
    said = on_terminal(mixed)
    assert "refuted: egress.address of egress-worker: it is refuted" in said
    assert "<no engine>" in said
    assert "reports/matrix/n/output.log" in said


def test_the_page_links_the_cells_and_shows_where_versions_matter(mixed: Matrix) -> None:
    page = shown.page(mixed)
    assert 'href="matrix/tailscale-1.98.9/m.html"' in page
    assert "Where versions matter" in page
    assert "&lt;no engine&gt;" in page
    assert "<no engine>" not in page
    # Nothing from outside: it opens from a file.
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_where_no_verdict_differs_the_page_says_so() -> None:
    cells = (ended("default", 0, PROVEN), ended("nomad-1.10.5", 0, PROVEN, changed={"nomad": "1.10.5"}))
    whole = Matrix(1.0, 2.0, "", False, cells)
    assert "Nowhere: every claim has the same verdict" in shown.page(whole)
    assert whole.headline == "All 2 claims proven in 2 cells"
    assert whole.exit_code == 0


def test_a_matrix_that_was_called_off_shows_what_was_done() -> None:
    cells = (ended("default", 0, PROVEN), not_run(cell("nomad-1.10.5", nomad="1.10.5")))
    whole = Matrix(1.0, 2.0, "", True, cells)
    assert "It was called off" in shown.page(whole)
    assert whole.headline == "Of 2 cells: 1 not run"


def test_the_data_has_everything_and_the_exit_code(mixed: Matrix, tmp_path: Path) -> None:
    page, data = shown.write(mixed, tmp_path)
    assert page.read_text(encoding="utf-8") == shown.page(mixed)
    read = json.loads(data.read_text(encoding="utf-8"))
    assert read["exit_code"] == 1
    assert [c["standing"] for c in read["cells"]] == ["proven", "refuted", "lab failed", "not run"]
    assert read["cells"][1]["versions"]["tailscale"] == "1.98.9"
    assert read["cells"][1]["claims"] == [
        {
            "subject": "egress-worker",
            "claim": "egress.address",
            "verdict": "refuted",
            "reason": "it is refuted",
        }
    ]
