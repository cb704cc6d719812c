"""The trend: what every run came to, and how long it took, on one page that opens from a file."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from harness.claims.verdict import Outcome
from harness.report import claim_words, templates
from harness.report.changes import SLOWER, Changes, changes, usual_seconds
from harness.report.files import write_whole
from harness.report.history import Past, of_site, worst
from harness.run.checkout import DIRTY

COLUMNS = 40
"""Runs that are shown."""
_CURVES = 12
"""Stages whose times are shown at once; the others are folded."""
_NONE, _NOT_HERE = "none", "not in this run"
_SYMBOLS = {str(outcome): symbol for outcome, symbol in claim_words.SYMBOLS.items()}
_WIDE, _HIGH = 240.0, 44.0
"""A curve's box."""
_SHOWN_COMMIT = 7
_DAY_COLUMNS = 3
"""Columns that a day takes, at their narrowest."""


@dataclass(frozen=True)
class Column:
    """A run."""

    run: str
    when: str
    day: str
    """The day, where it is another one than before and there is room to say so; else empty."""
    said: str
    """What it came to, in words."""
    kind: str
    """proven, refuted, unproven, or unfinished."""
    height: float
    """Its time in percent of the longest."""


@dataclass(frozen=True)
class Row:
    """A claim, or an example with its claims."""

    name: str
    title: str
    kinds: tuple[str, ...]
    """What each run made of it: proven, refuted, unproven; or none: it was not judged."""
    cells: Markup
    """These, drawn."""
    claims: tuple["Row", ...] = ()
    open: bool = False
    """Whether there is something to see in its claims."""
    said: str = ""
    """What it is now, in words."""


@dataclass(frozen=True)
class Curve:
    """The time of a stage, run by run."""

    stage: str
    points: str
    """A line through the times in a box of 240 by 44; runs without the stage have no dot on it."""
    dots: tuple[tuple[float, float, str], ...]
    """Each time as a point with its words; the last is the newest."""
    latest: float
    usual: float
    """In green runs before the newest; 0 where there is none."""
    most: float

    @property
    def slower(self) -> bool:
        """Whether the newest took much longer than usual."""
        return bool(self.usual) and self.latest >= SLOWER * self.usual and self.latest - self.usual >= 1.0


@dataclass(frozen=True)
class Section:
    """The runs at one site."""

    site: str
    headline: str
    kind: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    curves: tuple[Curve, ...]
    folded: tuple[Curve, ...]
    changes: Changes | None


def sections(history: Sequence[Past]) -> tuple[Section, ...]:
    """Give the runs of each site, that of the newest run first."""
    sites = dict.fromkeys(past.site for past in reversed(history))
    return tuple(_section(site, of_site(history, site)) for site in sites)


def _section(site: str, history: Sequence[Past]) -> Section:
    shown = history[-COLUMNS:]
    newest = shown[-1]
    curves = _curves(history, shown)
    return Section(
        site=site,
        headline=headline(history),
        kind=_kind(newest),
        columns=_columns(shown),
        rows=_rows(shown),
        curves=curves[:_CURVES],
        folded=curves[_CURVES:],
        changes=changes(newest, history),
    )


def headline(history: Sequence[Past]) -> str:
    """Say since when runs are green, or are not."""
    green = history[-1].green
    run = 0
    for past in reversed(history):
        if past.green is not green:
            break
        run += 1
    whole = run == len(history)
    if run == 1:
        return f"The {'only' if whole else 'newest'} run is {'green' if green else 'not green'}"
    if green:
        return f"Green {'all ' if whole else 'for '}{run} runs"
    return f"No run of {run} is green" if whole else f"Not green for {run} runs"


def _kind(past: Past) -> str:
    # What was refuted stays so, whatever happened later on.
    return "unfinished" if past.unfinished and past.outcome is not Outcome.REFUTED else str(past.outcome)


def _when(past: Past) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(past.began))


def _said(past: Past) -> str:
    judged = past.judged
    counts = [f"{n} {o}" for o in Outcome if (n := sum(v is o for v in judged.values()))]
    parts = [", ".join(counts) or "nothing was judged"]
    parts += ["not finished"] if past.unfinished else []
    parts += [f"{past.seconds:.0f} s"]
    if past.commit:
        edited = ", edited" if past.commit.endswith(DIRTY) else ""
        parts += [f"commit {past.commit[:_SHOWN_COMMIT]}{edited}"]
    return "; ".join(parts)


def _columns(shown: Sequence[Past]) -> tuple[Column, ...]:
    longest = max(past.seconds for past in shown) or 1.0
    days = _days([time.strftime("%d %b", time.gmtime(past.began)) for past in shown])
    return tuple(
        Column(
            run=past.run,
            when=_when(past),
            day=day,
            said=_said(past),
            kind=_kind(past),
            height=round(100 * past.seconds / longest, 1),
        )
        for past, day in zip(shown, days, strict=True)
    )


def _days(days: Sequence[str]) -> list[str]:
    """Each day where it begins, unless another one is said too near on the left."""
    said: list[str] = []
    for number, day in enumerate(days):
        begins = number == 0 or days[number - 1] != day
        said.append(day if begins and not any(said[-_DAY_COLUMNS + 1 :]) else "")
    return said


def _rows(shown: Sequence[Past]) -> tuple[Row, ...]:
    subjects = sorted({subject for past in shown for subject in past.verdicts})
    whens = [_when(past) for past in shown]
    return tuple(_example(subject, shown, whens) for subject in subjects)


def _example(subject: str, shown: Sequence[Past], whens: Sequence[str]) -> Row:
    judged = [past.verdicts.get(subject, {}) for past in shown]
    kinds = [str(worst(claims.values())) if claims else _NONE for claims in judged]
    counts = [
        f"{sum(o == kind for o in claims.values())} of {len(claims)} claims {kind}" if claims else _NOT_HERE
        for kind, claims in zip(kinds, judged, strict=True)
    ]
    last = next((kind for kind in reversed(kinds) if kind != _NONE), _NONE)
    return Row(
        name=subject,
        title=subject,
        kinds=tuple(kinds),
        cells=_drawn(kinds, whens, counts),
        claims=tuple(
            _claim(claim, judged, whens)
            for claim in sorted({c for claims in judged for c in claims}, key=claim_words.order)
        ),
        open=last != Outcome.PROVEN,
        said=f"{'in the newest run' if kinds[-1] == last else 'when it was last judged'} {last}",
    )


def _claim(claim: str, judged: Sequence[Mapping[str, Outcome]], whens: Sequence[str]) -> Row:
    kinds = [str(claims[claim]) if claim in claims else _NONE for claims in judged]
    said = [_NOT_HERE if kind == _NONE else kind for kind in kinds]
    title = claim_words.title(claim).replace("`", "")
    return Row(claim, title, tuple(kinds), _drawn(kinds, whens, said))


def _drawn(kinds: Sequence[str], whens: Sequence[str], said: Sequence[str]) -> Markup:
    """The cells of a row; by hand, as a template takes a second for the thousands that there are."""
    cells = (
        f'<i class="c c-{kind}" title="{when}: {words}">{_SYMBOLS.get(kind, "")}</i>'
        for kind, when, words in zip(kinds, whens, said, strict=True)
    )
    return Markup("".join(cells))  # noqa: S704 - times, figures and verdicts alone


def _curves(history: Sequence[Past], shown: Sequence[Past]) -> tuple[Curve, ...]:
    stages = dict.fromkeys(stage for past in shown for stage in past.stages)
    known = [s for s in stages if sum(s in past.stages for past in shown) > 1]
    curves = (_curve(stage, history, shown) for stage in known)
    return tuple(sorted(curves, key=lambda c: (not c.slower, -c.latest)))


def _curve(stage: str, history: Sequence[Past], shown: Sequence[Past]) -> Curve:
    times = [past.stages.get(stage) for past in shown]
    most = max(t for t in times if t is not None) or 1.0
    dots = []
    for number, (past, seconds) in enumerate(zip(shown, times, strict=True)):
        if seconds is None:
            continue
        x = round(_WIDE * (number + 0.5) / len(shown), 1)
        y = round(_HIGH * (1 - 0.92 * seconds / most), 1)
        dots.append((x, y, f"{_when(past)}: {seconds:.1f} s"))
    newest = max(n for n, t in enumerate(times) if t is not None)
    before = [past for past in history[: len(history) - len(shown) + newest] if past.green]
    return Curve(
        stage=stage,
        points=" ".join(f"{x},{y}" for x, y, _ in dots),
        dots=tuple(dots),
        latest=times[newest] or 0.0,
        usual=usual_seconds(stage, shown[newest].workers, before),
        most=most,
    )


def render(history: Iterable[Past]) -> str:
    """Give the page as HTML. There must be a run."""
    return templates.render("trend.html.j2", sections=sections(tuple(history)))


def write(history: Iterable[Past], file: Path) -> Path:
    """Write the page, and give `file` back."""
    write_whole(file, render(history))
    return file
