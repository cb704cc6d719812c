"""The leak matrix of the last run, or of several, as a Markdown table, and its place in a document."""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.report import entries, record
from harness.report.entries import ClaimEntry
from harness.report.files import write_whole
from harness.report.leaks import MEANINGS, LeakCell, LeakMatrix, Standing, leak_matrix
from harness.report.record import Failure, RunRecord

BEGIN, END = "<!-- leaks: begin -->", "<!-- leaks: end -->"
"""The lines of a document between which the table stands."""
_RUN_FAULTS = "let faults befall the examples: `pytest scenarios/test_faults.py --faults all`"
_OF_THE_LAB = ("nomad", "tailscale", "headscale", "docker")
"""The versions that what leaks depends on; others are in the report."""


def of_runs(*reports: Path) -> str:
    """Give the leak matrix of a run, or of several as one, as Markdown.

    Args:
        reports: the folders with claims.json and run.json, at least one. Of what befell an example in several
            runs, the worst verdict stands.

    Returns:
        A sentence with date and versions, a table with a row for each fault, and what its words mean.

    Raises:
        UsageError: there are no reports, they cannot be read, no fault befell anything in one of the runs, or
            they are of different versions.
    """
    judged: list[ClaimEntry] = []
    failures: list[Failure] = []
    made: list[RunRecord] = []
    for folder in reports:
        claims = folder / "claims.json"
        found, record_of = _read(claims), _record(folder / "run.json")
        if not leak_matrix(found, record_of.failures).rows:
            raise UsageError(f"{claims}: no fault befell an example in that run", remedy=_RUN_FAULTS)
        if made and _versions(record_of) != _versions(made[0]):
            raise UsageError(
                f"{folder}: of other versions than {reports[0]}: {', '.join(_versions(record_of))}",
                remedy="one table is of one set of versions: run the faults again",
            )
        judged += found
        failures += record_of.failures
        made.append(record_of)
    return markdown(leak_matrix(judged, failures), made)


def _read(file: Path) -> tuple[ClaimEntry, ...]:
    try:
        return entries.read(file)
    except FileNotFoundError:
        raise UsageError(f"{file}: there is no report", remedy=_RUN_FAULTS) from None
    except (ValueError, json.JSONDecodeError) as error:
        raise UsageError(f"{file}: cannot be read: {error}", remedy=_RUN_FAULTS) from error


def _record(file: Path) -> RunRecord:
    try:
        return record.read(file)
    except FileNotFoundError:
        raise UsageError(f"{file}: the run's own record is not there", remedy=_RUN_FAULTS) from None
    except ValueError as error:
        raise UsageError(f"{file}: cannot be read: {error}", remedy=_RUN_FAULTS) from error


def _versions(made: RunRecord) -> list[str]:
    return [f"{name} {made.versions[name]}" for name in _OF_THE_LAB if name in made.versions]


def markdown(leaks: LeakMatrix, made: Sequence[RunRecord]) -> str:
    """Give the leak matrix of some runs as Markdown, without a line end at its end."""
    days = sorted({time.strftime("%Y-%m-%d", time.gmtime(run.began)) for run in made})
    when = " to ".join(dict.fromkeys((days[0], days[-1])))
    versions = _versions(made[0])
    head = ["fault", *leaks.subjects]
    rows = [[f"`{_cell(row.fault)}`: {_cell(row.title)}", *map(_said, row.cells)] for row in leaks.rows]
    meanings = [f"**{s}**: {MEANINGS[s]}" for s in MEANINGS if leaks.count(s)]
    return "\n".join(
        (
            f"{leaks.headline}. Run on {when}" + (f" with {', '.join(versions)}." if versions else "."),
            "",
            _row(head),
            _row("---" for _ in head),
            *map(_row, rows),
            "",
            f"{'; '.join(meanings)}.",
        )
    )


def _said(cell: LeakCell) -> str:
    if cell.standing is Standing.LEAKED:
        return f"**leaked**: {_cell(cell.leak.words)}" if cell.leak else "**leaked**"
    if cell.failure:
        return f"*{cell.standing}*: {_cell(cell.failure)}"
    return str(cell.standing)


def _cell(text: str) -> str:
    """Text that cannot end its cell."""
    return " ".join(text.replace("|", "\\|").split())


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def put_into(document: Path, text: str) -> None:
    """Replace what stands in a document between its markers.

    Raises:
        UsageError: the document cannot be read, or does not have each marker once, in their order.
    """
    try:
        whole = document.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise UsageError(f"{document}: cannot be read: {said}", remedy="name a Markdown file") from error
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in before or END in after:
        raise UsageError(
            f"{document}: has no place for the table, or more than one",
            remedy=f"put the lines {BEGIN} and {END} where it shall stand",
        )
    write_whole(document, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
