"""The decision on the terminal: what is refused or allowed, each with its reason, and what is met."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from harness.gate.decision import Decision, Requirement, Standing, clean
from harness.gate.judged import NOT_IN_RUN
from harness.gate.policy import Policy
from harness.report.record import RunRecord

_STYLES = {Standing.MET: "green", Standing.ALLOWED: "yellow", Standing.REFUSED: "bold red"}
_NAMED = 4
"""Requirements that are called by their names where the same is said of all of them."""
_NOT_EXAMPLES = ("policy", "reports", "run", "versions")


@dataclass(frozen=True)
class _Row:
    standing: Standing
    about: str
    asked: str
    why: str


def shown(decision: Decision, record: RunRecord | None, policy: str, *, everything: bool) -> RenderableType:
    """Give the decision as a block of lines.

    Args:
        decision: what the gate came to.
        record: the run; None where there is none.
        policy: what the policy is called.
        everything: whether what is met has its lines, too.
    """
    parts: list[RenderableType] = [_headline(decision), Text(clean(_about(record, policy)), "dim")]
    standings = (Standing.REFUSED, Standing.ALLOWED, *((Standing.MET,) if everything else ()))
    rows = [group for standing in standings for group in _together(decision.of(standing))]
    if rows:
        parts.append(Padding(_table(rows), (1, 0, 0, 0), expand=False))
    last = [Text(_met(decision), "dim")] if decision.of(Standing.MET) and not everything else []
    last += [Text(clean(f"note: {note}"), "yellow") for note in decision.notes]
    if last:
        parts.append(Padding(Group(*last), (1, 0, 0, 0), expand=False))
    return Group(*parts)


def _headline(decision: Decision) -> Text:
    refused, all_of_them = len(decision.of(Standing.REFUSED)), len(decision.requirements)
    if decision.passed:
        counted = _counted(all_of_them, "requirement")
        text = Text("passed", "bold green").append(f"  {counted}", Style(bold=False))
        if allowed := len(decision.of(Standing.ALLOWED)):
            text.append(f", {allowed} of them not met and allowed", "yellow")
        return text
    return Text("refused", "bold red").append(
        f"  {refused} of {_counted(all_of_them, 'requirement')} not met"
    )


def _about(record: RunRecord | None, policy: str) -> str:
    run = "no run" if record is None else f"run {record.run} at site {record.site}"
    return f"{run}, by {policy}"


def _together(requirements: Iterable[Requirement]) -> list[_Row]:
    """Requirements as rows: one row for all of which the same is said."""
    groups: dict[tuple[str, str], list[Requirement]] = {}
    for one in requirements:
        about = "" if one.why == NOT_IN_RUN else one.about
        groups.setdefault((about, one.why), []).append(one)
    return [_row(group) for group in groups.values()]


def _row(group: Sequence[Requirement]) -> _Row:
    first, examples = group[0], list(dict.fromkeys(one.about for one in group))
    names = [one.name for one in group]
    asked = "\n".join(names) if len(names) <= _NAMED else _counted(len(names), "requirement")
    if len(examples) == 1:
        return _Row(first.standing, first.about, asked, first.why)
    why = f"these examples are not in this run: {', '.join(examples)}"
    return _Row(first.standing, _counted(len(examples), "example"), asked, why)


def _table(rows: Iterable[_Row]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_column(overflow="fold", ratio=1)
    for row in rows:
        cells = (Text(clean(text)) for text in (row.about, row.asked, row.why))
        table.add_row(Text(row.standing, _STYLES[row.standing]), *cells)
    return table


def _met(decision: Decision) -> str:
    met = decision.of(Standing.MET)
    on_claims = [r for r in met if r.about not in _NOT_EXAMPLES]
    examples = len({r.about for r in on_claims})
    others = [f"{r.about} {r.name}" for r in met if r.about in _NOT_EXAMPLES]
    parts = []
    if on_claims:
        parts = [f"{_counted(len(on_claims), 'requirement')} on {_counted(examples, 'example')}"]
    parts += [", ".join(others)] if others else []
    return f"met: {'; '.join(parts)}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def path(file: Path) -> str:
    """A file as a person at this folder calls it."""
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def words(policy: Policy) -> str:
    """What the built-in policy is called, for who gave none."""
    return f"the built-in policy: every claim proven, at most {policy.max_age.words} old, this commit"
