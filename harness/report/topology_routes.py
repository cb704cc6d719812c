"""How bands run through the picture: from a host's edge to the router, and on to another's. Pure geometry."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.fact_words import amount
from harness.report.topology_flows import Band, Kind
from harness.report.topology_layout import Box, Card, Layout, Side

Point = tuple[float, float]
Edge = tuple[Point, Point]

_THINNEST, _THICKEST = 1.6, 11.0
_BACKGROUND = frozenset({Kind.CONTROL, Kind.STUN, Kind.DNS, Kind.OTHER})
"""What every member says all the time: thinner, so that the examples' own traffic stands out."""
_THICKEST_BACKGROUND = 3.6
_THINNEST_DIRECT = 4.0
_ARROW, _ARROW_BACKGROUND = 11.5, 8.0
"""How much earlier a line ends than its arrow head."""
_WIDEST_GAP = 15.0
"""Between two lines at an edge, where there is room."""
_CORNER = 12.0
"""What stays free at the ends of an edge."""
_LABEL_HEIGHT, _LABEL_GAP = 22.0, 4.0
_LABEL_CHARACTER, _LABEL_PAD = 6.9, 11.0


@dataclass(frozen=True)
class Leg:
    """A line between a host and the router: a curve that leaves and arrives at right angles."""

    start: Point
    end: Point
    upright: bool
    """Whether it leaves its edge vertically."""

    @property
    def path(self) -> str:
        """The curve as SVG path data."""
        (x0, y0), (x1, y1) = self.start, self.end
        mx, my = self.middle
        handles = (
            f"{x0:.1f} {my:.1f} {x1:.1f} {my:.1f}" if self.upright else f"{mx:.1f} {y0:.1f} {mx:.1f} {y1:.1f}"
        )
        return f"M{x0:.1f} {y0:.1f} C{handles} {x1:.1f} {y1:.1f}"

    @property
    def middle(self) -> Point:
        """The middle of the curve, which is that of its ends."""
        return (self.start[0] + self.end[0]) / 2, (self.start[1] + self.end[1]) / 2


@dataclass(frozen=True)
class Route:
    """A band's line: to the router and, where that is not its end, on from there."""

    band: Band
    width: float
    legs: tuple[Leg, ...]

    @property
    def path(self) -> str:
        """All legs as SVG path data."""
        return " ".join(leg.path for leg in self.legs)


@dataclass(frozen=True)
class Label:
    """What stands on a direct band, before its target."""

    text: str
    box: Box


@dataclass(frozen=True)
class _End:
    """Where a band meets a host."""

    number: int
    card: Card
    width: float
    order: tuple[float, float, int]
    """Along the edge: by host, then by where the band's other end is, so that lines cross little."""


def band_width(band: Band) -> float:
    """Give a line's width: it grows by the same step with every doubling of the packets."""
    width = _THINNEST + 0.8 * math.log2(max(1, band.packets + band.replies))
    if band.kind in _BACKGROUND:
        return min(_THICKEST_BACKGROUND, width / 2 + 0.6)
    return min(_THICKEST, max(width, _THINNEST_DIRECT if band.kind is Kind.DIRECT else 0.0))


def routes(bands: Sequence[Band], plan: Layout) -> tuple[Route, ...]:
    """Give every band its line; on a host's edge and on the router's no two lines share a point."""
    ends: list[_End] = []
    for number, band in enumerate(bands):
        for here, there in {(band.source, band.target), (band.target, band.source)}:
            if (card := plan.card(here)) is not None:
                ends.append(_End(number, card, band_width(band), (*_order(plan, card, there), number)))
    at_card: dict[tuple[int, str], Point] = {}
    at_router: dict[tuple[int, str], Point] = {}
    by_card: defaultdict[str, list[_End]] = defaultdict(list)
    by_side: defaultdict[Side, list[_End]] = defaultdict(list)
    for end in sorted(ends, key=lambda e: e.order):
        by_card[end.card.name].append(end)
        by_side[end.card.side].append(end)
    for group in by_card.values():
        at_card |= _spread(group, _card_edge(group[0].card))
    for side, group in by_side.items():
        at_router |= _spread(group, _router_edge(plan.router, side))
    found = []
    for number, band in enumerate(bands):
        legs = []
        arrow = _ARROW_BACKGROUND if band.kind in _BACKGROUND else _ARROW
        if (source := plan.card(band.source)) is not None:
            key = (number, source.name)
            legs.append(
                _leg(at_card[key], at_router[key], source.side, 0.0 if plan.card(band.target) else arrow)
            )
        target = plan.card(band.target)
        if target is not None and band.target != band.source:
            key = (number, target.name)
            legs.append(_leg(at_router[key], at_card[key], target.side, arrow))
        found.append(Route(band, band_width(band), tuple(legs)))
    return tuple(found)


def wires(plan: Layout, drawn: Sequence[Route]) -> tuple[Leg, ...]:
    """Give the wires of the hosts that no band touches."""
    busy = {name for r in drawn for name in (r.band.source, r.band.target)}
    return tuple(
        _leg(_half(_card_edge(c)), _half(_router_edge(plan.router, c.side)), c.side, 0.0)
        for c in plan.cards
        if c.name not in busy
    )


def _order(plan: Layout, card: Card, there: str) -> tuple[float, float]:
    other = plan.card(there)
    here, far = card.box.center, (other.box if other else plan.router).center
    axis = 1 if card.side in (Side.LEFT, Side.RIGHT) else 0
    return here[axis], far[axis]


def _card_edge(card: Card) -> Edge:
    x0, y0, x1, y1 = card.port_edge
    return (x0, y0), (x1, y1)


def _router_edge(router: Box, side: Side) -> Edge:
    match side:
        case Side.LEFT:
            return (router.x, router.y), (router.x, router.bottom)
        case Side.RIGHT:
            return (router.right, router.y), (router.right, router.bottom)
        case Side.TOP:
            return (router.x, router.y), (router.right, router.y)
        case Side.BOTTOM:
            return (router.x, router.bottom), (router.right, router.bottom)


def _half(edge: Edge) -> Point:
    return (edge[0][0] + edge[1][0]) / 2, (edge[0][1] + edge[1][1]) / 2


def _spread(ends: Sequence[_End], edge: Edge) -> dict[tuple[int, str], Point]:
    """Give each end its point on an edge, in their order, as far apart as the lines are wide."""
    (x0, y0), (x1, y1) = edge
    length = math.dist(*edge)
    lines = sum(e.width for e in ends)
    room = length - 2 * _CORNER
    thin = min(1.0, room / lines)
    gap = min(_WIDEST_GAP, (room - lines * thin) / max(1, len(ends) - 1))
    position = (length - lines * thin - gap * (len(ends) - 1)) / 2
    found = {}
    for end in ends:
        share = (position + end.width * thin / 2) / length
        found[end.number, end.card.name] = (x0 + (x1 - x0) * share, y0 + (y1 - y0) * share)
        position += end.width * thin + gap
    return found


def _leg(start: Point, end: Point, side: Side, arrow: float) -> Leg:
    upright = side in (Side.TOP, Side.BOTTOM)
    if arrow:
        x, y = end
        back_x = 0.0 if upright else math.copysign(arrow, start[0] - x)
        back_y = math.copysign(arrow, start[1] - y) if upright else 0.0
        end = (x + back_x, y + back_y)
    return Leg(start, end, upright)


def labels(drawn: Sequence[Route], plan: Layout) -> tuple[Label, ...]:
    """Give every direct band a label on its last leg, moved down where it would lie on something else."""
    taken = [plan.router, *(c.box for c in plan.cards), *(g.box for g in plan.groups)]
    placed: list[Label] = []
    direct = [r for r in drawn if r.band.kind is Kind.DIRECT and r.legs]
    for route in sorted(direct, key=lambda r: r.legs[-1].middle[1]):
        text = f"direct: {amount(route.band.packets, 'packet')}"
        width = len(text) * _LABEL_CHARACTER + _LABEL_PAD * 2
        x, y = route.legs[-1].middle
        box = Box(x - width / 2, y - _LABEL_HEIGHT / 2, width, _LABEL_HEIGHT)
        while any(box.overlaps(other) for other in (*taken, *(p.box for p in placed))):
            box = Box(box.x, box.y + _LABEL_HEIGHT + _LABEL_GAP, width, _LABEL_HEIGHT)
        placed.append(Label(text, box))
    return tuple(placed)
