"""The topology as a picture with the flows of a run: a self-contained SVG, for light and dark pages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.claims.addresses import stays_on_link
from harness.lab.topology import Role, Topology
from harness.ledger.facts import FlowSeen
from harness.report import templates
from harness.report.episode import EpisodeView
from harness.report.fact_words import amount
from harness.report.record import RunRecord
from harness.report.topology_flows import ELSEWHERE, Band, Kind, bands
from harness.report.topology_layout import LEGEND_LINE, Box, layout
from harness.report.topology_routes import labels, routes, wires

_LEGEND_CHARACTER = 7.0
_LEGEND_SWATCH = 40.0
_LEGEND_GAP = 20.0
_SHOWN_ELSEWHERE = 4
_SERVE = "serve."


@dataclass(frozen=True)
class LegendItem:
    """A kind of band, with its figures."""

    kind: Kind
    text: str
    x: float
    y: float


def draw(
    topology: Topology,
    flows: Iterable[FlowSeen],
    *,
    members_allowed: bool = False,
    key: str = "topo",
    of: str = "the run",
) -> str:
    """Give a topology and its flows as an SVG document.

    Args:
        topology: the lab.
        flows: rows of the flow book.
        members_allowed: as in `topology_flows.bands`.
        key: begins this picture's ids, which tells them from those of others on the same page.
        of: whose flows they are, for its title.
    """
    rows = tuple(flows)
    found = bands(rows, topology, members_allowed=members_allowed)
    legend = _legend_texts(found, any(rows))
    plan = layout(topology, elsewhere=_elsewhere(rows, topology, found))
    items, lines = _legend(legend, plan.legend)
    if lines > 1:
        plan = layout(topology, elsewhere=_elsewhere(rows, topology, found), legend_lines=lines)
        items, _ = _legend(legend, plan.legend)
    drawn = routes(found, plan)
    # Direct ones last: nothing lies over them.
    drawn = tuple(sorted(drawn, key=lambda r: r.band.kind is Kind.DIRECT))
    return templates.render(
        "topology.svg.j2",
        key=key,
        of=of,
        plan=plan,
        routes=drawn,
        labels=labels(drawn, plan),
        legend=items,
        clean=not any(b.kind is Kind.DIRECT for b in found),
        internet=topology.internet,
        kinds=list(Kind),
        wires=wires(plan, drawn),
        summary=_summary(found, topology),
    )


def draw_record(record: RunRecord) -> str:
    """Draw a run's topology and flows; an example that serves may speak to members."""
    return draw(record.topology, record.flows, members_allowed=serves(record))


def draw_episode(view: EpisodeView, topology: Topology) -> str:
    """Draw the flows of the episodes of one verdict."""
    return draw(
        topology,
        view.flows,
        members_allowed=view.claim.startswith(_SERVE),
        key=f"flows-{view.stem}",
        of=f"{view.subject}, {view.claim}",
    )


def serves(record: RunRecord) -> bool:
    """Whether something in the run serves to members of the tailnet."""
    return any(e.claim.startswith(_SERVE) for e in record.entries)


def _elsewhere(rows: Sequence[FlowSeen], topology: Topology, found: Sequence[Band]) -> tuple[str, ...]:
    if not any(ELSEWHERE in (b.source, b.target) for b in found):
        return ()
    known = set().union(*(h.addresses for h in topology.hosts), topology.internet.addresses)
    ends = {a for f in rows for a in (f.source, f.destination) if not stays_on_link(a)}
    strange = sorted(ends - known)
    more = len(strange) - _SHOWN_ELSEWHERE
    return (*strange[:_SHOWN_ELSEWHERE], *([f"and {more} more"] if more > 0 else []))


def _legend_texts(found: Sequence[Band], any_flow: bool) -> list[tuple[Kind, str]]:
    if not any_flow:
        return []
    texts = []
    for kind in Kind:
        packets = sum(b.packets + b.replies * (kind is not Kind.DIRECT) for b in found if b.kind is kind)
        if packets:
            texts.append(
                (
                    kind,
                    f"{kind}: {amount(packets, 'packet')}" if kind is Kind.DIRECT else f"{kind}: {packets:,}",
                )
            )
        elif kind is Kind.DIRECT:
            texts.append((kind, "direct: none"))
    return texts


def _legend(texts: Sequence[tuple[Kind, str]], area: Box) -> tuple[list[LegendItem], int]:
    """Set the legend's items in centred lines; gives them and the number of lines."""
    lines: list[list[tuple[Kind, str, float]]] = [[]]
    for kind, text in texts:
        width = _LEGEND_SWATCH + len(text) * _LEGEND_CHARACTER + _LEGEND_GAP
        if lines[-1] and sum(w for _, _, w in lines[-1]) + width > area.width:
            lines.append([])
        lines[-1].append((kind, text, width))
    items = []
    for number, line in enumerate(lines):
        x = area.x + (area.width - sum(w for _, _, w in line) + _LEGEND_GAP) / 2
        for kind, text, width in line:
            items.append(LegendItem(kind, text, x, area.y + LEGEND_LINE * (number + 0.5)))
            x += width
    return items, len(lines)


def _summary(found: Sequence[Band], topology: Topology) -> str:
    """The picture in a sentence, for who cannot see it."""
    node = topology.only(Role.NODE).name
    direct = [b for b in found if b.kind is Kind.DIRECT]
    hosts = f"{len(topology.hosts)} hosts, each with one wire to the router {topology.internet.name}."
    if not direct:
        return f"{hosts} Nothing left {node} directly."
    told = ", ".join(f"{b.packets:,} packets to {b.target}" for b in direct)
    return f"{hosts} {node} sent directly: {told}."
