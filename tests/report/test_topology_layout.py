"""The picture: nothing lies over anything else, for every topology; and the SVG is one."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import combinations
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.lab.topology import Host, Membership, Role, Topology
from harness.ledger.facts import FlowSeen
from harness.report.topology_flows import ELSEWHERE, Kind, bands
from harness.report.topology_layout import Box, Layout, Side, layout
from harness.report.topology_picture import draw
from harness.report.topology_routes import labels, routes
from tests.report import sample

TOPOLOGY = sample.topology()


def extra(number: int, role: Role, lines: int) -> Host:
    return Host(
        name=f"h{number}",
        role=role,
        v4=tuple(IPv4Address(f"198.51.{100 + i}.{number + 100}") for i in range(lines)),
        v6=(IPv6Address(f"2001:db8:{number + 1:x}00::1"),),
        tailnet=Membership(user="x@example.com") if role is Role.MEMBER else None,
    )


@st.composite
def topologies(draw_: st.DrawFn) -> Topology:
    kinds = st.tuples(st.sampled_from([Role.MEMBER, Role.BYSTANDER]), st.integers(1, 5))
    more = draw_(st.lists(kinds, max_size=9))
    hosts = tuple(extra(i, role, lines) for i, (role, lines) in enumerate(more))
    return replace(TOPOLOGY, hosts=(*TOPOLOGY.hosts, *hosts))


def inside(plan: Layout, box: Box) -> bool:
    return Box(0, 0, plan.width, plan.height).contains(box)


@given(topologies(), st.integers(0, 5), st.integers(1, 3))
def test_no_two_things_overlap(topology: Topology, strangers: int, lines: int) -> None:
    elsewhere = [f"192.0.2.{i}" for i in range(strangers)]
    plan = layout(topology, elsewhere=elsewhere, legend_lines=lines)
    alone = [c.box for c in plan.cards if not any(g.box.contains(c.box) for g in plan.groups)]
    for one, other in combinations([plan.router, plan.legend, *alone, *(g.box for g in plan.groups)], 2):
        assert not one.overlaps(other)
    for first, second in combinations(plan.cards, 2):
        assert not first.box.overlaps(second.box)
    assert all(inside(plan, box) for box in (plan.router, plan.legend, *(c.box for c in plan.cards)))
    assert len(plan.cards) == len(topology.hosts) + bool(elsewhere)


def test_hosts_stand_where_their_role_says() -> None:
    sides = {card.name: card.side for card in layout(TOPOLOGY).cards}
    assert sides == {
        "node": Side.LEFT,
        "neighbour": Side.LEFT,
        "exit-a": Side.TOP,
        "exit-b": Side.TOP,
        "client": Side.TOP,
        "stranger": Side.TOP,
        "notice": Side.TOP,
        "control": Side.BOTTOM,
        "echo": Side.RIGHT,
        "outsider": Side.RIGHT,
    }


PAIRS = st.tuples(st.sampled_from(TOPOLOGY.hosts), st.sampled_from(TOPOLOGY.hosts), st.integers(1, 10**7))


@given(st.lists(PAIRS, max_size=25))
def test_lines_keep_apart_and_labels_lie_on_nothing(pairs: list[tuple[Host, Host, int]]) -> None:
    flows = [
        FlowSeen(a.name, str(a.v4[0]), str(b.v4[0]), "tcp", 80, packets, packets) for a, b, packets in pairs
    ]
    plan = layout(TOPOLOGY)
    drawn = routes(bands(flows, TOPOLOGY), plan)
    starts = [r.legs[0].start for r in drawn if r.legs]
    assert len(set(starts)) == len(starts)
    placed = labels(drawn, plan)
    assert len(placed) == sum(r.band.kind is Kind.DIRECT and bool(r.legs) for r in drawn)
    others = [plan.router, *(c.box for c in plan.cards)]
    for one, other in combinations([*(p.box for p in placed), *others], 2):
        assert not one.overlaps(other)


@settings(max_examples=20)
@given(topologies())
def test_the_picture_is_well_formed(topology: Topology) -> None:
    ElementTree.fromstring(draw(topology, sample.LEAKS))  # noqa: S314  our own text


def test_the_picture_is_self_contained_and_says_what_leaked() -> None:
    svg = draw(TOPOLOGY, (*sample.SOUND, *sample.LEAKS))
    assert "http" not in svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert svg.count(">direct: ") == 4  # three labels and the legend
    assert "node sent directly: 151 packets to echo" in svg
    assert f">{ELSEWHERE}<" in svg
    assert "ff02::16" not in svg


def test_the_clean_picture_says_so() -> None:
    svg = draw(TOPOLOGY, sample.SOUND)
    assert "direct: none" in svg
    assert "Nothing left node directly." in svg


def test_a_lab_without_flows_is_drawn_without_a_legend() -> None:
    svg = draw(TOPOLOGY, ())
    assert "direct: none" not in svg
    assert svg.count('class="wire"') == len(TOPOLOGY.hosts)


def test_names_are_escaped() -> None:
    host = replace(TOPOLOGY.hosts[2], tailnet=Membership(user="<script>&\"'@x"))
    svg = draw(replace(TOPOLOGY, hosts=(*TOPOLOGY.hosts[:2], host, *TOPOLOGY.hosts[3:])), ())
    assert "<script>" not in svg
    ElementTree.fromstring(svg)  # noqa: S314
