"""The timeline as a picture: a self-contained SVG for light and dark pages, drawn by matplotlib."""

import io
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import escape

from harness.ledger.facts import Phase
from harness.report.fact_words import amount, clock
from harness.report.timeline import Kind, Lane, Timeline
from harness.run import places

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE, _LANE, _AROUND = 10.4, 0.52, 1.15  # inches
_HALF = {Kind.ALLOWED: 0.3, Kind.DIRECT: 0.38, Kind.UNANSWERED: 0.22}
"""Half the height of a request's stroke, in rows."""
_BREADTH = {Kind.ALLOWED: 1.1, Kind.DIRECT: 1.9, Kind.UNANSWERED: 1.1}
_ROOM = 0.03
"""What stays free at the sides, as a share of the time that is shown."""

# What matplotlib is given, and what stands for it on the page: colours of its own it cannot look up there.
_INK, _SOFT, _LINE, _FAULT = "#010101", "#020202", "#030303", "#040404"
_KINDS = {Kind.ALLOWED: "#050505", Kind.DIRECT: "#060606", Kind.UNANSWERED: "#070707"}
_ON_PAGE: Mapping[str, str] = {
    _INK: "--ink",
    _SOFT: "--soft",
    _LINE: "--line",
    _FAULT: "--fault",
    _KINDS[Kind.ALLOWED]: "--allowed",
    _KINDS[Kind.DIRECT]: "--direct",
    _KINDS[Kind.UNANSWERED]: "--unanswered",
}
_STYLE = """<style>
.timeline { --ink: #1c2430; --soft: #5b6675; --line: #cdd3dc; --fault: #f3ead6; --allowed: #0b7d5b; --direct: #d1242f; --unanswered: #7b8594; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { .timeline { --ink: #e8ecf2; --soft: #98a3b2; --line: #38424f; --fault: #2e2818; --allowed: #3fc796; --direct: #ff6b6b; --unanswered: #8a94a3; } }
.timeline * { stroke-linejoin: round; stroke-linecap: butt; } .timeline text { font-family: ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif; }
</style>"""  # noqa: E501  a line a theme


def draw(timeline: Timeline, key: str) -> str:
    """Draw a timeline as an SVG.

    Args:
        timeline: what is drawn: a row a lane, its requests as strokes; the time of the fault as an area.
        key: tells this picture's ids from those of others on the same page.
    """
    # Its import takes half a second and its list of fonts a folder: a run without faults pays for neither.
    os.environ.setdefault("MPLCONFIGDIR", str(places.cache() / "report" / "matplotlib"))
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": key,
            "path.simplify": False,
            "font.size": 10,
            "text.color": _INK,
        }
    ):
        figure = Figure(figsize=(_WIDE, _AROUND + _LANE * len(timeline.lanes)), layout="constrained")
        figure.patch.set_visible(False)
        _fill(figure.add_subplot(), timeline)
        out = io.StringIO()
        nothing: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=nothing)
    return _for_page(out.getvalue(), timeline, key)


def _fill(axes: "Axes", timeline: Timeline) -> None:
    axes.patch.set_visible(False)
    first, last = timeline.begin, timeline.end
    room = (last - first) * _ROOM or 1.0
    axes.set_xlim(first - room, last + room)
    axes.set_ylim(len(timeline.lanes) - 0.45, -0.55)
    _mark(axes, timeline, last + room)
    for row, lane in enumerate(timeline.lanes):
        axes.axhline(row, color=_LINE, linewidth=0.6, zorder=1)
        xs, ys = _strokes(lane, row)
        axes.plot(xs, ys, color=_KINDS[lane.kind], linewidth=_BREADTH[lane.kind], zorder=3, clip_on=False)
    axes.set_yticks(range(len(timeline.lanes)), [_label(lane) for lane in timeline.lanes])
    for text, lane in zip(axes.get_yticklabels(), timeline.lanes, strict=True):
        alarm = lane.kind is Kind.DIRECT and bool(lane.at)
        text.set_color(_KINDS[Kind.DIRECT] if alarm else _INK)
        text.set_fontweight("bold" if alarm else "normal")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", colors=_SOFT)
    axes.set_xlabel(f"seconds since the fault was injected, at {clock(timeline.zero)} UTC", color=_SOFT)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_LINE)


def _label(lane: Lane) -> str:
    told = amount(len(lane.at), lane.noun) if lane.at else "none"
    alarm = "✗ " if lane.kind is Kind.DIRECT and lane.at else ""
    return f"{alarm}{lane.name}\n{told}"


def _strokes(lane: Lane, row: int) -> tuple[list[float], list[float]]:
    """All strokes of a lane as one broken line, which is a tenth of what single ones take."""
    half, gap = _HALF[lane.kind], float("nan")
    xs = [x for at in lane.at for x in (at, at, gap)]
    ys = [y for _ in lane.at for y in (row - half, row + half, gap)]
    return xs, ys


def _mark(axes: "Axes", timeline: Timeline, end: float) -> None:
    """Shade the time of the fault; a line a phase, with its word above the rows: `shown` above the others."""
    injected, healed = timeline.mark(Phase.INJECTED), timeline.mark(Phase.HEALED)
    if injected:
        axes.axvspan(injected.at, healed.at if healed else end, color=_FAULT, linewidth=0, zorder=0)
    for mark in timeline.marks:
        shown = mark.phase is Phase.SHOWN
        axes.axvline(mark.at, color=_INK, linewidth=1, linestyle=":" if shown else "-", zorder=2)
        axes.annotate(
            f"{mark.phase} {mark.at:.1f} s",
            (mark.at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if mark.phase is Phase.INJECTED else 3, 16 if shown else 4),
            textcoords="offset points",
            ha="right" if mark.phase is Phase.INJECTED else "left",
            annotation_clip=False,
        )


_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'(href="#|url\(#)([^")]*)')
_NUMBER = re.compile(r"-?\d+\.\d+")
_DATA = re.compile(r' d="[^"]*"')


def _for_page(svg: str, timeline: Timeline, key: str) -> str:
    """The picture as a part of a page: no prologue, colours that follow it, ids that are its own, small."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    referred = {name for _, name in _REFERENCE.findall(body)}
    body = _ID.sub(lambda m: f' id="{_own(key, m[1])}"' if m[1] in referred else "", body)
    body = _REFERENCE.sub(lambda m: m[1] + _own(key, m[2]), body)
    body = _DATA.sub(lambda m: " ".join(_NUMBER.sub(lambda n: f"{float(n[0]):.1f}", m[0]).split("\n")), body)
    for given, name in _ON_PAGE.items():
        body = body.replace(given, f"var({name})")
    # Text is as wide as the reader's font: its own style would name matplotlib's.
    body = re.sub(r" font-family: [^;]*;", "", body)
    body = re.sub(r">\s*\n\s*<", "><", body)
    opening, _, rest = body.partition(">")
    title, described = f"{key}-title", f"{key}-desc"
    return (
        f'{opening} class="timeline" role="img" aria-labelledby="{escape(title)} {escape(described)}">'
        f'<title id="{escape(title)}">Requests over time, by who the receiver saw</title>'
        f'<desc id="{escape(described)}">{escape(timeline.summary)}</desc>{_STYLE}{rest}'
    )


def _own(key: str, name: str) -> str:
    return str(escape(f"{key}-{name}"))
