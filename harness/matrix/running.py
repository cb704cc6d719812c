"""Runs the cells of a version matrix one after another, and keeps what became of each."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.claims.verdict import Outcome
from harness.matrix import outcome, process, shown
from harness.matrix.cells import Cell
from harness.matrix.outcome import CellResult, Standing
from harness.matrix.shown import Matrix
from harness.report import record
from harness.report.progress import Progress
from harness.report.record import RunRecord
from harness.run.interrupts import Interrupts

FOLDER = "matrix"
"""Below the reports: a folder for each cell."""
_OF_A_RUN = ("run.json", "claims.json", "matrix.html")


@dataclass(frozen=True)
class Wanted:
    """What is run in every cell."""

    scenarios: Path
    examples: Path
    expression: str
    """What -k is given; empty: every scenario."""
    further: tuple[str, ...] = ()
    """More arguments for pytest."""

    @property
    def words(self) -> str:
        """The same for people."""
        chosen = f'Scenarios chosen by -k "{self.expression}"' if self.expression else "Every scenario"
        return f"{chosen} over the jobs of {self.examples.name}/" + "".join(f" {a}" for a in self.further)


def run(cells: Sequence[Cell], wanted: Wanted, reports: Path, progress: Progress) -> Matrix:
    """Run the scenarios in each cell; after each, reports/versions.html and versions.json say how far it is.

    A cell that fails keeps none of the others from running. Ctrl-C ends the one that runs by its own way.

    Returns:
        What became of each; `interrupted` where it was called off.
    """
    began = time.time()
    results = {cell.name: outcome.not_run(cell) for cell in cells}

    def so_far(*, interrupted: bool = False) -> Matrix:
        seconds = round(time.time() - began, 1)
        return Matrix(began, seconds, wanted.words, interrupted, tuple(results.values()))

    interrupted = False
    try:
        # Our own handlers: the cell is told of a signal by us, once, and then removes what it made.
        with Interrupts():
            for number, cell in enumerate(cells, 1):
                begun = progress.begin(cell.name, f"cell {number} of {len(cells)}")
                results[cell.name] = _run(cell, wanted, reports, begun.update)
                ended = results[cell.name]
                begun.detail, begun.at_work_on = _words(ended), ""
                good = {Standing.PROVEN, Standing.OUTSIDE}
                progress.end(begun, "" if ended.standing in good else ended.standing)
                shown.write(so_far(), reports)
                if ended.standing is Standing.INTERRUPTED:
                    interrupted = True
                    break
    except KeyboardInterrupt:
        # Between two cells, or while the last was removed.
        interrupted = True
    matrix = so_far(interrupted=interrupted)
    shown.write(matrix, reports)
    return matrix


def _words(result: CellResult) -> str:
    counts = [f"{result.count(o)} {o}" for o in Outcome if result.count(o)]
    return ", ".join(counts) or str(result.standing)


def _run(cell: Cell, wanted: Wanted, reports: Path, on_line: Callable[[str], None]) -> CellResult:
    folder = reports / FOLDER / cell.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in _OF_A_RUN:
        # What an earlier run left must not be taken for this one's.
        (folder / name).unlink(missing_ok=True)
    began = time.monotonic()
    argv = process.scenarios(
        wanted.scenarios, cell.option, wanted.examples, wanted.expression, wanted.further
    )
    ended = process.run(argv, folder / "output.log", {"NOTAILCAR_REPORTS": str(folder)}, on_line)
    page = folder / "matrix.html"
    made = _record(folder / "run.json")
    return outcome.judge(
        cell,
        ended.exit_code,
        made,
        seconds=time.monotonic() - began,
        folder=f"{FOLDER}/{cell.name}",
        page=str(page.relative_to(reports)) if page.is_file() else "",
        said=ended.last,
        interrupted=ended.interrupted,
    )


def _record(file: Path) -> RunRecord | None:
    try:
        return record.read(file)
    except FileNotFoundError:
        return None
