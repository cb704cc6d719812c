"""What became of a cell, and of all: from exit codes and what runs leave, to data that can be shown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.claims.verdict import Outcome
from harness.errors import EXIT_LAB, EXIT_PROVEN, EXIT_REFUTED, EXIT_USAGE
from harness.matrix.cells import Cell
from harness.report.entries import ClaimEntry
from harness.report.record import RunRecord


class Standing(StrEnum):
    """How a cell stands."""

    PROVEN = "proven"
    REFUTED = "refuted"
    UNPROVEN = "unproven"
    FAILED = "lab failed"
    USAGE = "wrong use"
    OUTSIDE = "nothing to show"
    """Of what was chosen, nothing depends on what is changed in this cell."""
    INTERRUPTED = "interrupted"
    NOT_RUN = "not run"


_CODES = {
    Standing.PROVEN: EXIT_PROVEN,
    Standing.OUTSIDE: EXIT_PROVEN,
    Standing.USAGE: EXIT_USAGE,
    Standing.FAILED: EXIT_LAB,
    Standing.UNPROVEN: EXIT_REFUTED,
    Standing.REFUTED: EXIT_REFUTED,
}
_WORST_LAST = (EXIT_PROVEN, EXIT_USAGE, EXIT_LAB, EXIT_REFUTED)
"""A lab that failed in one cell takes nothing from a claim that is refuted in another."""


@dataclass(frozen=True)
class Said:
    """A verdict of a cell, in short."""

    subject: str
    claim: str
    verdict: Outcome
    reason: str


@dataclass(frozen=True)
class CellResult:
    """A cell that was run, or was to be."""

    cell: str
    asked: Mapping[str, str]
    """The versions that were to run."""
    changed: tuple[str, ...]
    standing: Standing
    exit_code: int | None = None
    """Of the run; None where there was none."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Those that ran, as the programs themselves said; empty where no lab was ready."""
    seconds: float = 0.0
    run: str = ""
    commit: str = ""
    claims: tuple[Said, ...] = ()
    errors: tuple[str, ...] = ()
    outside: Mapping[str, str] = field(default_factory=dict)
    """Examples that were left out, each with the reason."""
    folder: str = ""
    """Where its reports are, relative to the matrix's page."""
    page: str = ""
    """Its claims matrix, relative to the matrix's page; empty where there is none."""

    def count(self, outcome: Outcome) -> int:
        """How many claims came to a verdict."""
        return sum(said.verdict is outcome for said in self.claims)


def not_run(cell: Cell) -> CellResult:
    """A cell before its run."""
    return CellResult(cell.name, cell.versions, cell.changed, Standing.NOT_RUN)


def judge(
    cell: Cell,
    exit_code: int,
    record: RunRecord | None,
    *,
    seconds: float,
    folder: str,
    page: str,
    said: str = "",
    interrupted: bool = False,
) -> CellResult:
    """Say how a cell stands.

    Args:
        cell: what was asked for.
        exit_code: of its run.
        record: what its run left; None where it left nothing.
        seconds: how long it took.
        folder: where its reports are.
        page: its claims matrix, or nothing.
        said: what it printed last, for the case that it left no record.
        interrupted: whether it was called off.
    """
    errors = record.problems if record else ()
    ran = record.versions if record else {}
    wrong = [
        f"{name} {ran[name]} ran, where {version} was asked for"
        for name, version in cell.versions.items()
        if ran.get(name, version) != version
    ]
    standing = _standing(exit_code, record)
    if wrong:
        standing = Standing.FAILED
    if interrupted:
        standing = Standing.INTERRUPTED
    elif standing in {Standing.FAILED, Standing.USAGE} and not (errors or wrong) and said:
        errors = (said,)
    return CellResult(
        cell=cell.name,
        asked=cell.versions,
        changed=cell.changed,
        standing=standing,
        exit_code=exit_code,
        versions=ran,
        seconds=round(seconds, 1),
        run=record.run if record else "",
        commit=record.commit if record else "",
        claims=tuple(map(_said, record.entries)) if record else (),
        errors=(*wrong, *errors),
        outside=record.outside if record else {},
        folder=folder,
        page=page,
    )


def _standing(exit_code: int, record: RunRecord | None) -> Standing:
    if record and record.outside and not record.entries and not record.problems:
        return Standing.OUTSIDE
    if exit_code == EXIT_REFUTED and record and record.entries:
        return Standing(record.outcome) if record.outcome is not Outcome.PROVEN else Standing.FAILED
    if exit_code == EXIT_USAGE:
        return Standing.USAGE
    if exit_code == EXIT_PROVEN and record and record.outcome is Outcome.PROVEN:
        return Standing.PROVEN
    # Whatever else there may be, nothing is proven by it.
    return Standing.FAILED


def _said(entry: ClaimEntry) -> Said:
    return Said(entry.subject, entry.claim, entry.verdict, entry.reason)


def exit_code(results: Iterable[CellResult]) -> int:
    """The exit code of all: of the worst cell. A matrix in which no cell showed anything is wrong use."""
    standings = [result.standing for result in results]
    if all(standing is Standing.OUTSIDE for standing in standings):
        return EXIT_USAGE
    codes = [_CODES.get(standing, EXIT_LAB) for standing in standings]
    return max(codes, key=_WORST_LAST.index)


@dataclass(frozen=True)
class Difference:
    """A claim whose verdict is not the same in all cells that judged it."""

    subject: str
    claim: str
    verdicts: Mapping[str, Said | None]
    """By cell; None where it was not judged."""


def grid(results: Iterable[CellResult]) -> tuple[Difference, ...]:
    """Every claim of every example, with its verdict in each cell that has any, in the order of the first."""
    shown = [result for result in results if result.claims]
    rows = dict.fromkeys((said.subject, said.claim) for result in shown for said in result.claims)
    return tuple(
        Difference(
            subject,
            claim,
            {
                r.cell: next((s for s in r.claims if (s.subject, s.claim) == (subject, claim)), None)
                for r in shown
            },
        )
        for subject, claim in rows
    )


def differences(rows: Iterable[Difference]) -> tuple[Difference, ...]:
    """The claims to which versions matter: not of one verdict in the cells that judged them."""
    return tuple(row for row in rows if len({said.verdict for said in row.verdicts.values() if said}) > 1)
