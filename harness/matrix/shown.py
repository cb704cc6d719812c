"""A version matrix as people and scripts see it: a table on the terminal, a page, and a file of data."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.claims.verdict import Outcome
from harness.matrix.outcome import CellResult, Standing, differences, exit_code, grid
from harness.report import templates
from harness.report.files import write_whole
from harness.supply.pins import MOVABLE

PAGE, DATA = "versions.html", "versions.json"
_STYLES = {
    Standing.PROVEN: "green",
    Standing.REFUTED: "bold red",
    Standing.UNPROVEN: "yellow",
    Standing.FAILED: "bold magenta",
    Standing.USAGE: "bold magenta",
    Standing.OUTSIDE: "dim",
    Standing.INTERRUPTED: "yellow",
    Standing.NOT_RUN: "dim",
}
_SHOWN = 6
"""Refuted or unproven claims of a cell that the terminal lists; the page has all."""


@dataclass(frozen=True)
class Matrix:
    """A version matrix, as far as it was run."""

    began: float
    """Unix seconds."""
    seconds: float
    chosen: str
    """What was run, in words: the expression and the folder of jobs."""
    interrupted: bool
    cells: tuple[CellResult, ...]

    @property
    def exit_code(self) -> int:
        """Of what was run; one that was called off has none of its own."""
        return exit_code(self.cells)

    @property
    def headline(self) -> str:
        """What it comes to, in one sentence."""
        ran = [cell for cell in self.cells if cell.claims]
        bad = [c for c in self.cells if c.standing not in {Standing.PROVEN, Standing.OUTSIDE}]
        many = f"{len(self.cells)} cell{'' if len(self.cells) == 1 else 's'}"
        if not ran:
            return f"No claim was judged in any of {many}"
        if not bad:
            total = sum(len(cell.claims) for cell in ran)
            return f"All {total} claims proven in {many}"
        kinds = ", ".join(
            f"{sum(c.standing is s for c in bad)} {s}" for s in Standing if any(c.standing is s for c in bad)
        )
        return f"Of {many}: {kinds}"


def table(matrix: Matrix, reports: str) -> RenderableType:
    """The matrix for the terminal: a row a cell, and below what is not proven; `reports` as it is called."""
    rows = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    rows.add_column("cell", no_wrap=True)
    for name in MOVABLE:
        rows.add_column(name, no_wrap=True)
    for outcome in Outcome:
        rows.add_column(str(outcome), justify="right")
    rows.add_column("worst", no_wrap=True)
    rows.add_column("time", justify="right", no_wrap=True)
    for cell in matrix.cells:
        rows.add_row(
            cell.cell,
            *(_version(cell, name) for name in MOVABLE),
            *(str(cell.count(outcome)) if cell.claims else "-" for outcome in Outcome),
            Text(cell.standing, _STYLES[cell.standing]),
            _time(cell.seconds) if cell.seconds else "-",
        )
    return Group(rows, *(Text(line) for cell in matrix.cells for line in _notes(cell, reports)))


def _version(cell: CellResult, name: str) -> Text:
    """What ran; in brackets what was asked for, where no lab said that it ran."""
    style = "bold cyan" if name in cell.changed else ""
    return Text(cell.versions.get(name) or f"({cell.asked[name]})", style)


def _time(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02}"


def _notes(cell: CellResult, reports: str) -> list[str]:
    bad = [said for said in cell.claims if said.verdict is not Outcome.PROVEN]
    lines = [f"{s.verdict}: {s.claim} of {s.subject}: {s.reason}" for s in bad[:_SHOWN]]
    if len(bad) > _SHOWN:
        lines.append(f"and {len(bad) - _SHOWN} more")
    lines += list(cell.errors)
    if cell.standing in {Standing.FAILED, Standing.USAGE}:
        lines.append(f"what it printed: {reports}/{cell.folder}/output.log")
    lines += [f"left out: {name}: {why}" for name, why in cell.outside.items()]
    return [f"\n{cell.cell}", *(f"  {line}" for line in lines)] if lines else []


def page(matrix: Matrix) -> str:
    """The matrix as a page that opens from a file; each cell links to its own claims matrix."""
    rows = grid(matrix.cells)
    return templates.render(
        "versions.html.j2",
        matrix=matrix,
        when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(matrix.began)),
        programs=MOVABLE,
        outcomes=list(Outcome),
        judged=[cell for cell in matrix.cells if cell.claims],
        rows=rows,
        differences=differences(rows),
        time=_time,
        failed=[c for c in matrix.cells if c.errors],
    )


def data(matrix: Matrix) -> str:
    """The matrix as JSON, for scripts."""
    whole = {"exit_code": matrix.exit_code, "headline": matrix.headline, **asdict(matrix)}
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def write(matrix: Matrix, reports: Path) -> Sequence[Path]:
    """Write page and data, each whole or not at all; gives their paths."""
    files = (reports / PAGE, reports / DATA)
    write_whole(files[0], page(matrix))
    write_whole(files[1], data(matrix))
    return files
