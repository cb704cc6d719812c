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
from harness.report.entries import ClaimEntry
from harness.report.fact_words import Row, row
from harness.report.files import write_whole
from harness.report.record import RunRecord, Stage
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


@dataclass(frozen=True)
class Gap:
    """A cell without a verdict: why."""

    why: str

    @property
    def symbol(self) -> str:
        """What stands in the cell."""
        if not self.why:
            return claim_words.NOT_RUN
        return claim_words.NOT_OFFERED if self.offered_elsewhere else claim_words.ABSENT

    @property
    def words(self) -> str:
        """Its symbol in words."""
        if not self.why:
            return "not run"
        return claim_words.OFFER if self.offered_elsewhere else "not made of this example"

    @property
    def offered_elsewhere(self) -> bool:
        """Whether the example could offer it, and does not."""
        return self.why.startswith(claim_words.OFFER)


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
    """Give the claims that were judged, and those that an example openly does not offer, in their order."""
    groups = {claim_words.group(e.claim) for e in record.entries}
    refused = {
        claim
        for subject in record.subjects
        for claim, why in record.absences.get(subject, {}).items()
        if Gap(why).offered_elsewhere and claim_words.group(claim) in groups
    }
    claims = sorted({e.claim for e in record.entries} | refused, key=claim_words.order)
    return tuple(Column(c, claim_words.group(c)) for c in claims)


def lines(record: RunRecord, over: Sequence[Column]) -> tuple[Line, ...]:
    """Give one line an example, in the order in which they were judged."""
    names = record.names()
    found = []
    for subject in record.subjects:
        # Of two verdicts on one claim the worse stands: a page must not hide it behind the better.
        judged: dict[str, ClaimEntry] = {}
        for entry in (e for e in record.entries if e.subject == subject):
            known = judged.get(entry.claim)
            if known is None or _BADNESS[entry.verdict] > _BADNESS[known.verdict]:
                judged[entry.claim] = entry
        details = {claim: _detail(entry, names) for claim, entry in judged.items()}
        absences = record.absences.get(subject, {})
        found.append(
            Line(
                subject=subject,
                cells=tuple(details.get(c.claim) or Gap(absences.get(c.claim, "")) for c in over),
                details=tuple(details[c.claim] for c in over if c.claim in details),
            )
        )
    return tuple(found)


_ROOMY = 9
"""Columns beyond which a cell has room for its symbol alone."""
_PAGE = PageSeen.__name__
_BADNESS = {Outcome.PROVEN: 0, Outcome.UNPROVEN: 1, Outcome.REFUTED: 2}


def _detail(entry: ClaimEntry, names: dict[str, str]) -> Detail:
    return Detail(
        entry=entry,
        anchor=f"{entry.subject}/{entry.claim}",
        evidence=tuple(row(item, names) for item in entry.items("evidence")),
        controls=tuple(row(item, names) for item in entry.items("control")),
        pages=tuple(i["fact"] for i in entry.items("evidence") if i["fact"].get("kind") == _PAGE),
    )


def _pictures(pages: Iterable[Mapping[str, Any]], folder: Path | None) -> dict[str, str]:
    """The pictures that are there, by name, as text that a page can hold: it may be moved without them."""
    files = [folder / page["picture"] for page in pages if folder and page["picture"]]
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
    total = len(record.entries)
    if not total:
        return "No claim was judged"
    if record.outcome is Outcome.PROVEN:
        return f"All {total} claims proven" if total > 1 else "The claim is proven"
    return f"{record.count(record.outcome)} of {total} {'claims' if total > 1 else 'claim'} {record.outcome}"


def render(record: RunRecord, *, allure: str | None = None, pages: Path | None = None) -> str:
    """Give the page as HTML.

    Args:
        record: the run.
        allure: the Allure report's address relative to the page, None for no link.
        pages: the folder with the pictures of pages that a browser showed; None for no pictures.
    """
    over = columns(record)
    found = lines(record, over)
    members = topology_picture.serves(record)
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
        bands=bands(record.flows, record.topology, members_allowed=members),
        # The picture's own template has escaped it.
        picture=Markup(topology_picture.draw_record(record)),  # noqa: S704
        bars=bars(record.stages),
        allure=allure,
        pictures=_pictures((p for line in found for d in line.details for p in d.pages), pages),
    )


def _spans(over: Sequence[Column]) -> list[tuple[str, int]]:
    """The groups of neighbouring columns with how many each spans."""
    spans: dict[str, int] = {}
    for column in over:
        spans[column.group] = spans.get(column.group, 0) + 1
    return list(spans.items())


def write(record: RunRecord, file: Path, *, allure: Path | None = None) -> Path:
    """Write the page, linking to the Allure report's file `allure` where there is one. Gives `file` back."""
    link = None if allure is None else os.path.relpath(allure, file.parent)
    write_whole(file, render(record, allure=link, pages=file.parent / "runs" / record.run))
    return file
