"""What a run says on the terminal: its progress, one line a claim, and the summary."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from harness.claims.verdict import Outcome
from harness.report import claim_words, matrix, since
from harness.report.changes import Changes
from harness.report.entries import ClaimEntry
from harness.report.fact_words import Names, clock, row
from harness.report.leaks import MEANINGS, SYMBOLS, LeakMatrix, Standing, leak_matrix
from harness.report.progress import Progress
from harness.report.record import RunRecord

__all__ = ["Progress", "claim_line", "console_on", "console_past_capture", "summary"]

_STYLES = {Outcome.PROVEN: "green", Outcome.REFUTED: "bold red", Outcome.UNPROVEN: "yellow"}
_FAILED = "magenta"
_STANDINGS = {
    Standing.HELD: "green",
    Standing.STOPPED: "cyan",
    Standing.UNPROVEN: "yellow",
    Standing.LEAKED: "bold red",
    Standing.FAILED: _FAILED,
    Standing.NOT_RUN: "dim",
    Standing.ABSENT: "dim",
}
_VERDICT, _CLAIM, _SUBJECT, _SECONDS = 8, 27, 14, 7
_NARROW = 100
"""Columns below which a claim's reason stands on a line of its own."""
_ACROSS = 4
"""Examples that stand side by side in the summary; of more, each has a line."""
_FIRST_ROWS = 5
"""Rows of evidence that follow a refuted claim."""
_NO_TERMINAL_WIDTH = 160


def console_on(stream: TextIO) -> Console:
    """Give a console on a stream, such as the terminal that pytest captures nothing of.

    Colours and a live display need a terminal; NO_COLOR takes the colours away. What is no terminal
    is as wide as COLUMNS says, or 160.
    """
    width: int | None = None
    if stream.isatty():
        try:
            width = os.get_terminal_size(stream.fileno()).columns or None
        except (OSError, ValueError):
            width = None
    elif not os.environ.get("COLUMNS", "").isdecimal():
        width = _NO_TERMINAL_WIDTH
    return Console(file=stream, force_terminal=stream.isatty(), width=width, highlight=False)


def console_past_capture(stream: TextIO) -> Console:
    """Give a console that reaches the terminal also while pytest captures.

    pytest captures by putting a file in the place of the stream's descriptor, its own reporter's
    included. A duplicate taken while nothing is captured, as in `pytest_configure`, still leads to
    the terminal. The console's `file` is the caller's to close.

    Args:
        stream: standard output. One without a descriptor is used as it is.
    """
    try:
        duplicate = os.dup(stream.fileno())
    except (OSError, ValueError):
        return console_on(stream)
    return console_on(os.fdopen(duplicate, "w", encoding=stream.encoding, errors="replace", buffering=1))


def claim_line(
    entry: ClaimEntry, width: int = _NO_TERMINAL_WIDTH, names: Names | None = None
) -> RenderableType:
    """Give a claim as a line of at most `width` columns.

    A reason that does not fit is cut when the claim is proven, and wrapped below the line otherwise;
    a refuted claim is followed by the first rows of its evidence.

    Args:
        entry: the claim.
        width: columns of the terminal.
        names: addresses to hosts, for the evidence.
    """
    style = _STYLES[entry.verdict]
    proven = entry.verdict is Outcome.PROVEN
    head = Table.grid(padding=(0, 2, 0, 0))
    head.width = width
    head.add_column(width=_VERDICT, no_wrap=True)
    head.add_column(width=max(_CLAIM, len(entry.claim)), no_wrap=True, overflow="ellipsis")
    beside = proven and width >= _NARROW
    head.add_column(min_width=_SUBJECT, ratio=None if beside else 1, no_wrap=True, overflow="ellipsis")
    if beside:
        head.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    head.add_column(width=_SECONDS, justify="right", no_wrap=True)
    reason = Text(" ".join(entry.reason.split()), "" if proven else style)
    head.add_row(
        Text(entry.verdict, style),
        Text(entry.claim, style if not proven else ""),
        Text(entry.subject, "bold"),
        *([reason] if beside else []),
        Text(f"{entry.seconds:.1f}s", "dim"),
    )
    if beside:
        return head
    parts: list[RenderableType] = [head, Padding(reason, (0, 0, 0, _VERDICT + 2), expand=False)]
    if entry.verdict is Outcome.REFUTED and entry.items("evidence"):
        parts.append(Padding(_evidence(entry, names or {}), (0, 0, 0, _VERDICT + 2), expand=False))
    return Group(*parts)


def _evidence(entry: ClaimEntry, names: Names) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for item in entry.items("evidence")[:_FIRST_ROWS]:
        shown = row(item, names)
        table.add_row(Text(clock(shown.at), "dim"), Text(shown.observer, "dim"), Text(shown.what))
    more = entry.total("evidence") - _FIRST_ROWS
    if more > 0:
        table.add_row("", "", Text(f"and {more:,} more, in the report", "dim"))
    return table


def summary(record: RunRecord, paths: Mapping[str, Path], changes: Changes | None = None) -> RenderableType:
    """Give the block at the end of a run.

    Args:
        record: the run.
        changes: what changed since the last green run; None where there is none.
        paths: what to open, by what it is: `report`, `matrix`; each a link where the terminal knows links.
    """
    parts: list[RenderableType] = [_headline(record)]
    over = matrix.columns(record)
    found = matrix.lines(record, over)
    if len(found) > 1:
        table = _table(over, found) if len(found) <= _ACROSS else _by_groups(over, found)
        parts.append(Padding(table, (1, 0, 0, 0), expand=False))
    leaks = leak_matrix(record.entries, record.failures)
    if leaks.rows:
        parts.append(Padding(_leaks(leaks), (1, 0, 0, 0), expand=False))
    if changes and changes.differs:
        parts.append(Padding(since.block(changes), (1, 0, 0, 0), expand=False))
    if paths:
        parts.append(Padding(_links(paths), (1, 0, 0, 0), expand=False))
    return Group(*parts)


def _headline(record: RunRecord) -> Text:
    text = Text(matrix.headline(record), Style.parse(_STYLES[record.outcome]) + Style(bold=True))
    for outcome in Outcome:
        if outcome is not record.outcome and record.count(outcome):
            plain = Style.parse(_STYLES[outcome]) + Style(bold=False)
            text.append(f", {record.count(outcome)} {outcome}", plain)
    if record.failures and record.count(record.outcome):
        text.append(f", {len(record.failures)} without a verdict", Style.parse(_FAILED))
    text.append(f" in {record.seconds:.1f} s", Style(dim=True, bold=False))
    return text


def _table(over: tuple[matrix.Column, ...], found: tuple[matrix.Line, ...]) -> Table:
    """Examples across, claims down: claims are many and their names long."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for _ in found:
        table.add_column(overflow="fold")
    table.add_row("", *(Text(line.subject, "bold") for line in found))
    for number, column in enumerate(over):
        cells = (line.cells[number] for line in found)
        table.add_row(column.claim, *(_cell(cell) for cell in cells))
    return table


def _by_groups(over: tuple[matrix.Column, ...], found: tuple[matrix.Line, ...]) -> RenderableType:
    """One line an example, one symbol a claim, with what the symbols and their places mean."""
    groups = list(dict.fromkeys(column.group for column in over))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for _ in groups:
        table.add_column(no_wrap=True)
    table.add_row("", *(Text(group, "dim") for group in groups))
    for line in found:
        cells = {group: Text() for group in groups}
        for column, cell in zip(over, line.cells, strict=True):
            cells[column.group].append_text(_symbol(cell)).append(" ")
        table.add_row(Text(line.subject, "bold"), *cells.values())
    named = [
        f"{group}: {', '.join(claim_words.short(c.claim) for c in over if c.group == group)}"
        for group in groups
    ]
    verdicts = [f"{symbol} {outcome}" for outcome, symbol in claim_words.SYMBOLS.items()]
    gaps = {c.symbol: c.words for line in found for c in line.cells if isinstance(c, matrix.Gap)}
    symbols = "  ".join([*verdicts, *(f"{symbol} {words}" for symbol, words in gaps.items())])
    return Group(table, Text("\n".join(["", *named, symbols]), "dim"))


def _leaks(leaks: LeakMatrix) -> RenderableType:
    """Faults down, examples across; with figures where there is room for them."""
    roomy = len(leaks.subjects) <= _ACROSS
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for _ in leaks.subjects:
        table.add_column(overflow="fold")
    names = leaks.subjects if roomy else [str(n) for n, _ in enumerate(leaks.subjects, 1)]
    table.add_row(Text("fault", "dim"), *(Text(name, "bold") for name in names))
    for befallen in leaks.rows:
        cells = []
        for cell in befallen.cells:
            text = Text(cell.symbol, _STANDINGS[cell.standing])
            if roomy:
                text.append(f" {cell.standing}")
                if cell.leak:
                    text.append(f": {cell.leak.short}", Style(bold=False))
            cells.append(text)
        table.add_row(befallen.fault, *cells)
    named = "" if roomy else ", ".join(f"{n} {s}" for n, s in enumerate(leaks.subjects, 1))
    shown = [f"{SYMBOLS[s]} {s}: {MEANINGS[s]}" for s in SYMBOLS if leaks.count(s)]
    legend = "\n".join(filter(None, ("", named, *shown)))
    failed = [
        Text(f"{cell.symbol} {cell.fault}, {cell.subject}: {cell.failure}", _FAILED)
        for cell in leaks.cells
        if cell.failure
    ]
    return Group(Text(leaks.headline, "bold"), table, *failed, Text(legend, "dim"))


def _symbol(cell: matrix.Detail | matrix.Gap) -> Text:
    if isinstance(cell, matrix.Gap):
        return Text(cell.symbol, _FAILED if cell.failed else "dim")
    return Text(claim_words.SYMBOLS[cell.entry.verdict], _STYLES[cell.entry.verdict])


def _cell(cell: matrix.Detail | matrix.Gap) -> Text:
    if isinstance(cell, matrix.Gap) and cell.failed:
        return Text(cell.words, _FAILED)
    if isinstance(cell, matrix.Gap):
        return Text(cell.words if cell.offered_elsewhere or not cell.why else "-", "dim")
    return Text(cell.entry.verdict, _STYLES[cell.entry.verdict])


def _links(paths: Mapping[str, Path]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for what, path in paths.items():
        whole = path.absolute()
        here = Path.cwd()
        shown = whole.relative_to(here) if whole.is_relative_to(here) else whole
        table.add_row(Text(what, "dim"), Text(str(shown), Style(link=whole.as_uri(), underline=True)))
    return table
