"""Where everything stands in the topology's picture: pure geometry, in the units of the SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from harness.lab.topology import Host, Role, Topology
from harness.report.topology_flows import ELSEWHERE

CARD_WIDTH = 182.0
_CARD_HEAD = 50.0
_LINE = 17.0
_CARD_FOOT = 9.0
_GAP = 14.0
_PAD = 14.0
_GROUP_HEAD = 28.0
_MARGIN = 10.0
_AISLE_X = 164.0
"""Between the router and the columns beside it: room for bands and their labels."""
_AISLE_Y = 78.0
ROUTER_WIDTH, ROUTER_HEIGHT = 220.0, 132.0
LEGEND_LINE = 26.0
# Not `is_private`: that has the documentation networks for private, which are the lab's public ones.
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


class Side(StrEnum):
    """Where around the router a host stands."""

    LEFT = "left"
    TOP = "top"
    RIGHT = "right"
    BOTTOM = "bottom"


@dataclass(frozen=True)
class Box:
    """A rectangle, by its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.y + self.height

    @property
    def center(self) -> tuple[float, float]:
        """Its middle."""
        return self.x + self.width / 2, self.y + self.height / 2

    def overlaps(self, other: "Box") -> bool:
        """Whether the two share an area; touching edges do not."""
        return (
            self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom
        )

    def contains(self, other: "Box") -> bool:
        """Whether the other lies in this one."""
        return (
            self.x <= other.x
            and self.y <= other.y
            and other.right <= self.right
            and other.bottom <= self.bottom
        )


@dataclass(frozen=True)
class Card:
    """A host in the picture."""

    name: str
    caption: str
    lines: tuple[str, ...]
    """Its addresses, as text."""
    role: str
    side: Side
    box: Box

    @property
    def port_edge(self) -> tuple[float, float, float, float]:
        """The edge that faces the router: from (x, y) to (x, y)."""
        b = self.box
        match self.side:
            case Side.LEFT:
                return b.right, b.y, b.right, b.bottom
            case Side.RIGHT:
                return b.x, b.y, b.x, b.bottom
            case Side.TOP:
                return b.x, b.bottom, b.right, b.bottom
            case Side.BOTTOM:
                return b.x, b.y, b.right, b.y


@dataclass(frozen=True)
class Group:
    """Hosts that belong together, with a heading."""

    heading: str
    box: Box


@dataclass(frozen=True)
class Layout:
    """The whole picture, without its flows."""

    width: float
    height: float
    router: Box
    cards: tuple[Card, ...]
    groups: tuple[Group, ...]
    legend: Box

    def card(self, name: str) -> Card | None:
        """The card of a host; None for the router."""
        return next((c for c in self.cards if c.name == name), None)


@dataclass(frozen=True)
class _Sketch:
    """A card without its place."""

    name: str
    caption: str
    lines: tuple[str, ...]
    role: str

    @property
    def height(self) -> float:
        return _CARD_HEAD + _LINE * len(self.lines) + _CARD_FOOT

    def at(self, x: float, y: float, height: float, side: Side) -> Card:
        return Card(self.name, self.caption, self.lines, self.role, side, Box(x, y, CARD_WIDTH, height))


def layout(topology: Topology, *, elsewhere: Sequence[str] = (), legend_lines: int = 1) -> Layout:
    """Place the router in the middle and the hosts around it by what they are for.

    Args:
        topology: a sound one: it has a node, a control server and an echo.
        elsewhere: addresses that are no host's but were spoken to; a card of their own where there are any.
        legend_lines: how many lines the legend below takes.

    Returns:
        The node and its neighbours on the left, tailnet members above, the control server below, the
        rest of the internet on the right; no two boxes overlap.
    """
    node = topology.only(Role.NODE)
    lan = [h for h in topology.hosts if h is not node and _on_lan_of(node, h)]
    left = [_sketch(h) for h in (node, *lan)]
    members = [m for m in topology.with_role(Role.MEMBER) if m not in topology.exits]
    top = [_sketch(h) for h in (*topology.exits, *members)]
    bottom = [_sketch(h) for h in topology.with_role(Role.CONTROL)]
    placed = {s.name for s in (*left, *top, *bottom)}
    right = [_sketch(h) for h in topology.hosts if h.name not in placed]
    if elsewhere:
        right.append(_Sketch(ELSEWHERE, "no host of the lab", tuple(elsewhere), ELSEWHERE))
    return _arrange(left, top, right, bottom, legend_lines)


def _arrange(
    left: list[_Sketch], top: list[_Sketch], right: list[_Sketch], bottom: list[_Sketch], legend_lines: int
) -> Layout:
    column = CARD_WIDTH + 2 * _PAD
    middle_width = 2 * column + 2 * _AISLE_X + ROUTER_WIDTH
    width = max(middle_width, _row_width(top), _row_width(bottom)) + 2 * _MARGIN
    top_height = _GROUP_HEAD + _row_height(top) + _PAD if top else 0.0
    middle_height = max(_column_height(left), _column_height(right), ROUTER_HEIGHT + 2 * _AISLE_Y)
    middle_y = _MARGIN + (top_height + _AISLE_Y if top else 0.0)
    center = (width / 2, middle_y + middle_height / 2)

    cards: list[Card] = []
    groups: list[Group] = []
    if top:
        box = Box((width - _row_width(top)) / 2, _MARGIN, _row_width(top), top_height)
        groups.append(Group("Tailnet members", box))
        cards += _row(top, box.x + _PAD, box.y + _GROUP_HEAD, Side.TOP)
    columns = (
        (left, _MARGIN, Side.LEFT, "Node and its network"),
        (right, width - _MARGIN - column, Side.RIGHT, "Public internet"),
    )
    for sketches, x, side, heading in columns:
        if sketches:
            height = _column_height(sketches)
            box = Box(x, center[1] - height / 2, column, height)
            groups.append(Group(heading, box))
            cards += _column(sketches, box, side)
    inside = middle_width - 2 * column
    # A short row stands between the columns, near the router; a long one must go below them.
    above = ROUTER_HEIGHT if _row_width(bottom) <= inside else middle_height
    bottom_y = center[1] + above / 2 + _AISLE_Y
    cards += _row(bottom, (width - _row_width(bottom)) / 2 + _PAD, bottom_y, Side.BOTTOM)
    lowest = max(middle_y + middle_height, bottom_y + _row_height(bottom))
    legend = Box(_MARGIN, lowest + 16, width - 2 * _MARGIN, LEGEND_LINE * legend_lines)
    return Layout(
        width=width,
        height=legend.bottom + _MARGIN,
        router=Box(center[0] - ROUTER_WIDTH / 2, center[1] - ROUTER_HEIGHT / 2, ROUTER_WIDTH, ROUTER_HEIGHT),
        cards=tuple(cards),
        groups=tuple(groups),
        legend=legend,
    )


def _row_width(sketches: list[_Sketch]) -> float:
    return len(sketches) * (CARD_WIDTH + _GAP) - _GAP + 2 * _PAD if sketches else 0.0


def _row_height(sketches: list[_Sketch]) -> float:
    return max((s.height for s in sketches), default=0.0)


def _column_height(sketches: list[_Sketch]) -> float:
    return _GROUP_HEAD + sum(s.height + _GAP for s in sketches) - _GAP + _PAD if sketches else 0.0


def _row(sketches: list[_Sketch], x: float, y: float, side: Side) -> list[Card]:
    height = _row_height(sketches)
    return [s.at(x + i * (CARD_WIDTH + _GAP), y, height, side) for i, s in enumerate(sketches)]


def _column(sketches: list[_Sketch], box: Box, side: Side) -> list[Card]:
    cards, y = [], box.y + _GROUP_HEAD
    for sketch in sketches:
        cards.append(sketch.at(box.x + _PAD, y, sketch.height, side))
        y += sketch.height + _GAP
    return cards


def _sketch(host: Host) -> _Sketch:
    lines = tuple(map(str, (*host.v4, *host.v6)))
    return _Sketch(host.name, _caption(host), lines, "exit" if _is_exit(host) else str(host.role))


def _is_exit(host: Host) -> bool:
    return host.tailnet is not None and host.tailnet.exit_node


def _caption(host: Host) -> str:
    if host.tailnet is not None:
        belongs = ", ".join(host.tailnet.tags) or host.tailnet.user or ""
        return f"exit node, {belongs}" if _is_exit(host) else belongs
    return {
        Role.CONTROL: "control, DERP, STUN",
        Role.ACME: "gives certificates",
        Role.ECHO: "says who it saw",
        Role.NODE: "Nomad client",
        Role.BYSTANDER: "not in the tailnet",
    }.get(host.role, str(host.role))


def _on_lan_of(node: Host, other: Host) -> bool:
    """Whether the other has a private address in the /24 of one of the node's."""
    return any(_same_private_net(a, b) for a in node.v4 for b in other.v4)


def _same_private_net(one: IPv4Address, other: IPv4Address) -> bool:
    return any(one in net for net in _PRIVATE) and other in IPv4Network(f"{one}/24", strict=False)
