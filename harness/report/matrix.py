"""The claims matrix: one page that opens from a file, without a server and without anything from outside."""

import base64
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from harness.claims.verdict import Outcome
from harness.ledger.facts import PageSeen
from harness.report import claim_words, templates, topology_picture
from harness.report.changes import Changes
from harness.report.entries import ClaimEntry
from harness.report.fact_words import Row, row
from harness.report.files import write_whole
from harness.report.leaks import MEANINGS, SYMBOLS, LeakCell, LeakMatrix, anchor, is_of_fault, leak_matrix
from harness.report.record import LAB, Failure, RunRecord, Stage
from harness.report.shown import Shown, shown
from harness.report.topology_flows import bands


@dataclass(frozen=True)
class Column:
    """A claim that at least one example was judged by."""

    claim: str
    group: str


@dataclass(frozen=True)
class Detail:
    """An entry with its observations as rows."""

    entry: ClaimEntry
    anchor: str
    evidence: tuple[Row, ...]
    controls: tuple[Row, ...]
    pages: tuple[dict[str, Any], ...] = ()
    """Facts of pages that a browser showed (`PageSeen`), as data."""
    shown: Shown | None = None
    """What else there is to see of its episodes."""


@dataclass(frozen=True)
class Befallen:
    """What a fault did to an example: a cell of the leak matrix with its detail."""

    cell: LeakCell
    detail: Detail


@dataclass(frozen=True)
class Beside:
    """Where the files are that a page takes in or links to."""

    run: Path
    """The run's folder."""
    page: Path
    """The page's folder."""


@dataclass(frozen=True)
class Gap:
    """A cell without a verdict: why."""

    why: str
    failed: bool = False
    """Whether it was asked for, and the lab failed; `why` says how."""

    @property
    def symbol(self) -> str:
        """What stands in the cell."""
        if self.failed:
            return claim_words.FAILED
        if not self.why:
            return claim_words.NOT_RUN
        return claim_words.NOT_OFFERED if self.offered_elsewhere else claim_words.ABSENT

    @property
    def words(self) -> str:
        """Its symbol in words."""
        if self.failed:
            return "lab error"
        if not self.why:
            return "not run"
        return claim_words.OFFER if self.offered_elsewhere else "not made of this example"

    @property
    def offered_elsewhere(self) -> bool:
        """Whether the example could offer it, and does not."""
        return not self.failed and self.why.startswith(claim_words.OFFER)


@dataclass(frozen=True)
class Line:
    """An example: one cell a column, a gap where there is no verdict."""

    subject: str
    cells: tuple[Detail | Gap, ...]
    details: tuple[Detail, ...]


@dataclass(frozen=True)
class Bar:
    """A stage as a bar: where it begins and how long it is, in percent of the whole."""

    stage: Stage
    left: float
    width: float


def columns(record: RunRecord) -> tuple[Column, ...]:
    """Give the claims that were asked for, and those that an example openly does not offer, in order.

    What faults did is the leak matrix's.
    """
    asked = [e.claim for e in record.entries] + [f.claim for f in record.failures]
    judged = {claim for claim in asked if not is_of_fault(claim)}
    groups = {claim_words.group(claim) for claim in judged}
    refused = {
        claim
        for subject in record.subjects
        for claim, why in record.absences.get(subject, {}).items()
        if Gap(why).offered_elsewhere and claim_words.group(claim) in groups
    }
    claims = sorted(judged | refused, key=claim_words.order)
    return tuple(Column(c, claim_words.group(c)) for c in claims)


def lines(record: RunRecord, over: Sequence[Column], beside: Beside | None = None) -> tuple[Line, ...]:
    """Give one line an example, in the order in which they were judged."""
    found = []
    for subject in record.subjects:
        # Of two verdicts on one claim the worse stands: a page must not hide it behind the better.
        judged: dict[str, ClaimEntry] = {}
        for entry in (e for e in record.entries if e.subject == subject and not is_of_fault(e.claim)):
            known = judged.get(entry.claim)
            if known is None or _BADNESS[entry.verdict] > _BADNESS[known.verdict]:
                judged[entry.claim] = entry
        gaps = {claim: Gap(why) for claim, why in record.absences.get(subject, {}).items()} | {
            f.claim: Gap(f.reason, failed=True) if f.reached else Gap("")
            for f in record.failures
            if f.subject == subject and not is_of_fault(f.claim)
        }
        if not judged and not any(gap.failed or not gap.why for gap in gaps.values()):
            continue
        details = {claim: _detail(entry, record, beside) for claim, entry in judged.items()}
        found.append(
            Line(
                subject=subject,
                cells=tuple(details.get(c.claim) or gaps.get(c.claim) or Gap("") for c in over),
                details=tuple(details[c.claim] for c in over if c.claim in details),
            )
        )
    return tuple(found)


def befallen(record: RunRecord, leaks: LeakMatrix, beside: Beside | None = None) -> tuple[Befallen, ...]:
    """Give every cell of the leak matrix that has a verdict with its detail, row by row."""
    judged = [(cell, cell.entry) for cell in leaks.cells if cell.entry is not None]
    brief = len(judged) > _PICTURES
    return tuple(Befallen(cell, _detail(entry, record, beside, brief=brief)) for cell, entry in judged)


_PICTURES = 40
"""Verdicts on faults beyond which the pictures of those proven are linked: each has some 15 kB."""
_FEW = 3
"""Examples that leave room for a leak's figures in its cell."""
_ROOMY = 9
"""Columns beyond which a cell has room for its symbol alone."""
_PAGE = PageSeen.__name__
_BADNESS = {Outcome.PROVEN: 0, Outcome.UNPROVEN: 1, Outcome.REFUTED: 2}


def _detail(entry: ClaimEntry, record: RunRecord, beside: Beside | None, *, brief: bool = False) -> Detail:
    names = record.names()
    return Detail(
        entry=entry,
        anchor=anchor(entry),
        evidence=tuple(row(item, names) for item in entry.items("evidence")),
        controls=tuple(row(item, names) for item in entry.items("control")),
        pages=tuple(i["fact"] for i in entry.items("evidence") if i["fact"].get("kind") == _PAGE),
        shown=shown(entry, record.topology, beside.run, beside.page, brief=brief) if beside else None,
    )


def _pictures(pages: Iterable[Mapping[str, Any]], beside: Beside | None) -> dict[str, str]:
    """The pictures that are there, by name, as text that a page can hold: it may be moved without them."""
    files = [beside.run / page["picture"] for page in pages if beside and page["picture"]]
    return {
        file.name: f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"
        for file in files
        if file.is_file()
    }


def bars(stages: Sequence[Stage]) -> tuple[Bar, ...]:
    """Give stages as bars over the time from the first's begin to the last's end."""
    whole = max((s.began + s.seconds for s in stages), default=0.0) or 1.0
    return tuple(
        Bar(s, left=100 * s.began / whole, width=100 * s.seconds / whole)
        for s in sorted(stages, key=lambda s: s.began)
    )


def headline(record: RunRecord) -> str:
    """Give the verdict of the whole run in one sentence."""
    if not record.entries:
        return "No claim was judged"
    total = len(record.entries) + len(record.failures)
    claims = "claims" if total > 1 else "claim"
    if record.outcome is Outcome.PROVEN:
        return f"All {total} claims proven" if total > 1 else "The claim is proven"
    if not (number := record.count(record.outcome)):
        return f"{len(record.failures)} of {total} {claims} without a verdict"
    return f"{number} of {total} {claims} {record.outcome}"


def render(
    record: RunRecord,
    *,
    allure: str | None = None,
    beside: Beside | None = None,
    trend: str | None = None,
    changes: Changes | None = None,
) -> str:
    """Give the page as HTML.

    Args:
        record: the run.
        allure: the Allure report's address relative to the page, None for no link.
        beside: where pictures and captures are; None for a page without them.
        trend: the address of the page with earlier runs relative to this one, None for no link.
        changes: what changed since the last green run; None where there is none.
    """
    over = columns(record)
    found = lines(record, over, beside)
    leaks = leak_matrix(record.entries, record.failures)
    faults = befallen(record, leaks, beside)
    members = topology_picture.serves(record)
    # Elsewhere than in a lab nobody sees every packet, and a picture of some would say too much.
    in_lab = record.site == LAB
    spoken = bands(record.flows, record.topology, members_allowed=members) if in_lab else ()
    return templates.render(
        "matrix.html.j2",
        record=record,
        headline=headline(record),
        counts=[(o, record.count(o)) for o in Outcome],
        when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(record.began)),
        columns=over,
        groups=_spans(over),
        compact=len(over) > _ROOMY,
        gaps={cell.symbol: cell.words for line in found for cell in line.cells if isinstance(cell, Gap)},
        lines=found,
        worst=[d for line in found for d in line.details if d.entry.verdict is not Outcome.PROVEN],
        failed=[f for f in _once(record.failures) if not is_of_fault(f.claim)],
        bands=spoken,
        direct=any(e.verdict is Outcome.REFUTED and e.claim.startswith("egress.") for e in record.entries),
        # The picture's own template has escaped it.
        picture=Markup(topology_picture.draw_record(record)) if in_lab else "",  # noqa: S704 - our own drawing
        bars=bars(record.stages),
        allure=allure,
        trend=trend,
        changes=changes,
        pictures=_pictures((p for line in found for d in line.details for p in d.pages), beside),
        leaks=leaks,
        few=len(leaks.subjects) <= _FEW,
        faults=faults,
        first_leak=next((b.detail.anchor for b in faults if b.cell.leak), ""),
        standings=[(s, SYMBOLS[s], MEANINGS[s]) for s in SYMBOLS if leaks.count(s)],
    )


def _once(failures: Iterable[Failure]) -> list[Failure]:
    """The first failure of each example and reason: one that sticks meets every claim of its example."""
    first = {(f.subject, f.reason): f for f in reversed(tuple(failures)) if f.reached}
    return list(reversed(first.values()))


def _spans(over: Sequence[Column]) -> list[tuple[str, int]]:
    """The groups of neighbouring columns with how many each spans."""
    spans: dict[str, int] = {}
    for column in over:
        spans[column.group] = spans.get(column.group, 0) + 1
    return list(spans.items())


def write(
    record: RunRecord,
    file: Path,
    *,
    allure: Path | None = None,
    trend: Path | None = None,
    changes: Changes | None = None,
) -> Path:
    """Write the page, linking to the files of the Allure report and the trend where there are some.

    Returns:
        The file.
    """
    links = {
        name: None if page is None else os.path.relpath(page, file.parent)
        for name, page in (("allure", allure), ("trend", trend))
    }
    beside = Beside(file.parent / "runs" / record.run, file.parent)
    write_whole(file, render(record, beside=beside, changes=changes, **links))
    return file
