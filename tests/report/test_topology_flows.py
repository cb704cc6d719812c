"""Every row of the flow book ends up in one band; what leaves the node directly is shown as that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.assembly import default_topology
from harness.claims.addresses import stays_on_link
from harness.lab import topology_file
from harness.lab.topology import ControlProgram
from harness.ledger.facts import FlowSeen
from harness.report.topology_flows import ELSEWHERE, Band, Kind, bands
from tests.report import sample
from tests.report.sample import (
    CLIENT,
    CONTROL,
    ECHO,
    ECHO6,
    EXIT_A,
    EXIT_B,
    NODE,
    NODE6,
    OUTSIDER,
    RESOLVER,
    flow,
)

TOPOLOGY = sample.topology()
ADDRESSES = sorted(a for h in TOPOLOGY.hosts for a in h.addresses)
ALLOWED = {"control", "exit-a", "exit-b", "internet"}


def only(*flows: FlowSeen, members_allowed: bool = False) -> Band:
    (band,) = bands(flows, TOPOLOGY, members_allowed=members_allowed)
    return band


@pytest.mark.parametrize(
    ("row", "kind", "target"),
    [
        (flow("node", NODE, EXIT_A, "udp", 41641, 1), Kind.WIREGUARD, "exit-a"),
        (flow("node", NODE, CONTROL, "tcp", 443, 1), Kind.CONTROL, "control"),
        (flow("node", NODE, CONTROL, "udp", 3478, 1), Kind.STUN, "control"),
        (flow("node", NODE, RESOLVER, "udp", 53, 1), Kind.DNS, "internet"),
        (flow("node", NODE, ECHO, "tcp", 443, 1), Kind.DIRECT, "echo"),
        (flow("node", NODE6, ECHO6, "udp", 7, 1), Kind.DIRECT, "echo"),
        (flow("node", NODE, OUTSIDER, "icmp", 0, 1), Kind.DIRECT, "outsider"),
        (flow("node", NODE, CLIENT, "udp", 41641, 1), Kind.DIRECT, "client"),
        (flow("node", NODE, EXIT_A, "tcp", 80, 1), Kind.DIRECT, "exit-a"),
        (flow("node", NODE, CONTROL, "tcp", 8080, 1), Kind.DIRECT, "control"),
        (flow("node", NODE, "192.0.2.77", "udp", 123, 1), Kind.DIRECT, ELSEWHERE),
        (flow("node", NODE, "169.254.169.254", "tcp", 80, 1), Kind.DIRECT, ELSEWHERE),
        (flow("exit-a", EXIT_A, ECHO, "tcp", 443, 1), Kind.EGRESS, "echo"),
        (flow("exit-a", EXIT_A, EXIT_B, "udp", 41641, 1), Kind.WIREGUARD, "exit-b"),
        (flow("client", CLIENT, CONTROL, "tcp", 443, 1), Kind.CONTROL, "control"),
        (flow("outsider", OUTSIDER, ECHO, "tcp", 80, 1), Kind.OTHER, "echo"),
    ],
)
def test_what_a_flow_is_for(row: FlowSeen, kind: Kind, target: str) -> None:
    band = only(row)
    assert (band.kind, band.source, band.target, band.packets) == (kind, row.wire, target, 1)


def test_who_serves_by_https_asks_for_a_certificate() -> None:
    with_acme = topology_file.load(default_topology(), ControlProgram.LABCONTROL)
    acme = str(with_acme.host("acme").v4[0])
    for port, kind in ((443, Kind.OTHER), (80, Kind.DIRECT)):
        (band,) = bands([flow("node", NODE, acme, "tcp", port, 1)], with_acme, members_allowed=True)
        assert (band.kind, band.target) == (kind, "acme")


def test_replies_belong_to_what_they_answer() -> None:
    band = only(flow("exit-a", EXIT_A, ECHO, "tcp", 80, 60), flow("echo", ECHO, EXIT_A, "tcp", 51000, 50))
    assert (band.kind, band.source, band.target) == (Kind.EGRESS, "exit-a", "echo")
    assert (band.packets, band.replies, band.services) == (60, 50, ("tcp/80",))


def test_a_tunnel_is_one_band_whoever_sent_first() -> None:
    there = flow("node", NODE, EXIT_A, "udp", 41641, 9)
    back = flow("exit-a", EXIT_A, NODE, "udp", 40112, 8)
    band = only(there, back)
    assert (band.kind, band.source, band.target, band.packets, band.replies) == (
        Kind.WIREGUARD,
        "node",
        "exit-a",
        9,
        8,
    )


def test_the_answer_to_a_leak_does_not_hide_it() -> None:
    band = only(flow("node", NODE, ECHO, "tcp", 443, 9), flow("echo", ECHO, NODE, "tcp", 40220, 8))
    assert (band.kind, band.source, band.packets, band.replies) == (Kind.DIRECT, "node", 9, 8)


def test_the_answer_to_a_probe_from_outside_is_no_leak() -> None:
    band = only(flow("outsider", OUTSIDER, NODE, "tcp", 22, 3), flow("node", NODE, OUTSIDER, "tcp", 50001, 3))
    assert (band.kind, band.source, band.target) == (Kind.OTHER, "outsider", "node")


def test_a_forged_source_leaves_by_the_nodes_wire_all_the_same() -> None:
    probe = flow("outsider", OUTSIDER, ECHO, "tcp", 80, 3)
    forged = flow("node", ECHO, OUTSIDER, "tcp", 50001, 3)
    assert bands((probe, forged), TOPOLOGY)[0].kind is Kind.DIRECT


def test_who_serves_may_speak_to_members_and_no_one_else() -> None:
    to_member = flow("node", NODE, CLIENT, "udp", 41641, 1)
    assert only(to_member, members_allowed=True).kind is Kind.WIREGUARD
    refusal = flow("node", NODE, CLIENT, "icmp", 0, 1)
    assert only(refusal, members_allowed=True).kind is Kind.WIREGUARD
    assert only(refusal).kind is Kind.DIRECT
    assert only(flow("node", NODE, CLIENT, "tcp", 80, 1), members_allowed=True).kind is Kind.DIRECT
    assert only(flow("node", NODE, ECHO, "udp", 7, 1), members_allowed=True).kind is Kind.DIRECT


def test_housekeeping_of_the_link_is_left_out() -> None:
    assert bands([flow("node", NODE6, "ff02::16", "icmpv6", 0, 4)], TOPOLOGY) == ()


def test_the_sound_run_has_nothing_direct_and_the_leaky_one_has() -> None:
    assert Kind.DIRECT not in {b.kind for b in bands(sample.SOUND, TOPOLOGY)}
    leaks = [b for b in bands((*sample.SOUND, *sample.LEAKS), TOPOLOGY) if b.kind is Kind.DIRECT]
    assert {b.target: b.packets for b in leaks} == {"echo": 151, "outsider": 3, ELSEWHERE: 3}


FLOWS = st.builds(
    FlowSeen,
    wire=st.sampled_from([h.name for h in TOPOLOGY.hosts]),
    source=st.sampled_from([*ADDRESSES, "192.0.2.1"]),
    destination=st.sampled_from([*ADDRESSES, RESOLVER, "192.0.2.1", "ff02::2", "no address"]),
    protocol=st.sampled_from(["tcp", "udp", "icmp", "icmpv6", "132"]),
    port=st.sampled_from([0, 7, 53, 80, 443, 3478, 20001, 41641, 50000]),
    packets=st.integers(1, 10**6),
    octets=st.integers(40, 10**9),
)


@given(st.lists(FLOWS, max_size=30))
def test_no_packet_is_lost_or_counted_twice(flows: list[FlowSeen]) -> None:
    found = bands(flows, TOPOLOGY)
    drawn = sum(f.packets for f in flows if not stays_on_link(f.destination))
    assert sum(b.packets + b.replies for b in found) == drawn
    assert len({(b.source, b.target, b.kind) for b in found}) == len(found)


@given(FLOWS)
def test_what_the_node_sends_to_others_than_its_own_is_direct(row: FlowSeen) -> None:
    for band in bands([row], TOPOLOGY):
        if row.wire == "node" and band.target not in ALLOWED:
            assert band.kind is Kind.DIRECT


def test_what_a_bystander_is_answered_is_not_direct_and_what_it_did_not_ask_is() -> None:
    asked = [flow("outsider", OUTSIDER, NODE, "tcp", 0, n) for n in (3, 2)]
    answers = [flow("node", NODE, OUTSIDER, "tcp", 40000 + n, 1) for n in range(5)]
    (band,) = bands([*asked, *answers], TOPOLOGY)
    assert (band.kind, band.source, band.packets, band.replies) == (Kind.OTHER, "outsider", 5, 5)
    more = bands([*asked, *answers, flow("node", NODE, OUTSIDER, "tcp", 50000, 1)], TOPOLOGY)
    assert (more[0].kind, more[0].source, more[0].packets) == (Kind.DIRECT, "node", 6)
    beside = bands([*asked, *answers, flow("node", NODE, OUTSIDER, "tcp", 443, 1)], TOPOLOGY)
    assert (beside[0].kind, beside[0].services) == (Kind.DIRECT, ("tcp/443",))
    forged = bands([flow("exit-a", OUTSIDER, NODE, "tcp", 0, 5), *answers], TOPOLOGY)
    assert forged[0].kind is Kind.DIRECT
