"""egress.no_direct_packets: where the node's wire leads."""

import pytest

from harness.claims.verdict import Outcome
from harness.ledger.episodes import AS_IT_STANDS, CONTROL
from harness.ledger.facts import FlowSeen, NameAsked, PacketCaptured, RequestSeen
from tests.claims.build import (
    CLIENT4,
    CLIENT6,
    CONTROL4,
    CONTROL6,
    ECHO4,
    ECHO6,
    EXIT_A4,
    EXIT_A6,
    EXIT_B4,
    EXIT_B6,
    NODE4,
    NODE6,
    RESOLVER4,
    RESOLVER6,
    facts,
    flow,
    good,
)

CLAIM = "egress.no_direct_packets"


def test_proven_tells_what_for() -> None:
    verdict = good().verdict(CLAIM)
    assert verdict.outcome is Outcome.PROVEN
    assert "All 9 flows of node went where they may" in verdict.reason
    assert "exit 203 packets" in verdict.reason
    assert len(verdict.controls) == 4
    assert len(verdict.evidence) == 9 + 2


@pytest.mark.parametrize(
    "allowed",
    [
        flow(CONTROL6, "tcp", 80),
        flow(CONTROL6, "udp", 3478),
        flow(CONTROL6, "icmpv6", 0),
        flow(EXIT_A6, "udp", 1),
        flow(EXIT_B4, "udp", 65535),
        flow(EXIT_A4, "icmp", 0),
        flow(EXIT_B6, "icmpv6", 0),
        flow(RESOLVER6, "tcp", 53),
        flow(RESOLVER4, "udp", 53, source="172.17.0.2"),
        flow("fe80::1", "icmpv6", 0),
        flow("ff02::1:ff00:1", "icmpv6", 0, source="::"),
        flow(ECHO4, wire="exit-a", source=EXIT_A4),
        flow(ECHO4, wire="neighbour", source=NODE4),
    ],
    ids=str,
)
def test_still_proven_with(allowed: FlowSeen) -> None:
    assert good().add(AS_IT_STANDS, allowed).verdict(CLAIM).outcome is Outcome.PROVEN


def test_a_member_may_be_told_that_nobody_listens_any_more() -> None:
    arrived = flow(NODE4, "udp", 41641, 2, source=CLIENT4, wire="client")
    answered = flow(CLIENT4, "icmp", 0, 2)
    verdict = good().add(AS_IT_STANDS, arrived, answered).verdict(CLAIM)
    assert verdict.outcome is Outcome.PROVEN
    assert "answers to members 2 packets" in verdict.reason


@pytest.mark.parametrize(
    "other",
    [
        [],
        [flow(NODE4, "udp", 41641, 1, source=CLIENT4, wire="client")],
        [flow(NODE4, "tcp", 41641, 2, source=CLIENT4, wire="client")],
        [flow(NODE6, "udp", 41641, 2, source=CLIENT6, wire="client")],
        [flow(NODE4, "udp", 41641, 2, source=CLIENT4, wire="echo")],
        [flow(NODE4, "udp", 41641, 2, source=ECHO4, wire="client")],
    ],
    ids=["nothing came", "more than came", "by tcp", "by the other family", "forged", "not its own"],
)
def test_but_only_so_often_as_it_asked_by_itself(other: list[FlowSeen]) -> None:
    verdict = good().add(AS_IT_STANDS, *other, flow(CLIENT4, "icmp", 0, 2)).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert "client (198.51.100.30) icmp, 2 packets" in verdict.reason


def test_nobody_else_is_answered() -> None:
    asked = flow(NODE4, "udp", 41641, 2, source=ECHO4, wire="echo")
    verdict = good().add(AS_IT_STANDS, asked, flow(ECHO4, "icmp", 0, 2)).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED


@pytest.mark.parametrize(
    ("direct", "named"),
    [
        (flow(ECHO4, "tcp", 443, 26), "echo (198.18.80.80) tcp/443, 26 packets"),
        (flow(ECHO6, "udp", 7, 1), "echo (2001:db8:80::80) udp/7, 1 packet"),
        (flow(ECHO4, "icmp", 0, 3), "echo (198.18.80.80) icmp, 3 packets"),
        (flow("192.0.2.1", "47", 0, 3), "192.0.2.1 47, 3 packets"),
        (flow(CONTROL4, "tcp", 22), "control (198.51.100.10) tcp/22"),
        (flow(CONTROL4, "udp", 443), "control (198.51.100.10) udp/443"),
        (flow(EXIT_A4, "tcp", 41641), "exit-a (198.51.100.20) tcp/41641"),
        (flow(EXIT_A4, "47", 0), "exit-a (198.51.100.20) 47"),
        (flow(RESOLVER4, "tcp", 853), "internet (198.51.100.53) tcp/853"),
        (flow(RESOLVER4, "icmp", 0), "internet (198.51.100.53) icmp"),
        (flow(RESOLVER4, "132", 53), "internet (198.51.100.53) 132/53"),
        (flow("8.8.8.8", "udp", 53), "8.8.8.8 udp/53"),
        (flow("fe80::1", "udp", 547), "fe80::1 udp/547"),
        (flow("ff02::fb", "udp", 5353), "ff02::fb udp/5353"),
        (flow("ff05::2", "icmpv6", 0), "ff05::2 icmpv6"),
        (flow("224.0.0.22", "2", 0), "224.0.0.22 2"),
        (flow(ECHO4, source="172.17.0.2"), "echo (198.18.80.80) tcp/443 from 172.17.0.2"),
        (flow(ECHO4, source=EXIT_A4), "from 198.51.100.20"),
        (flow("", "tcp", 1), "tcp/1"),
    ],
    ids=str,
)
def test_refuted_by_one_flow(direct: FlowSeen, named: str) -> None:
    verdict = good().add(AS_IT_STANDS, direct).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert "1 flow of 10" in verdict.reason
    assert named in verdict.reason
    assert facts(verdict.evidence) == [direct]
    assert len(verdict.controls) == 4


def test_refuted_shows_the_packets_of_the_same_flow() -> None:
    leaked = PacketCaptured(1.0, NODE4, ECHO4, "tcp", 40000, 443, 517, "\x16\x03")
    other = PacketCaptured(1.0, NODE4, ECHO4, "tcp", 40000, 80, 60)
    verdict = good().add(AS_IT_STANDS, flow(ECHO4), leaked, other).verdict(CLAIM)
    assert facts(verdict.evidence) == [flow(ECHO4), leaked]


def test_refuted_sums_flows_of_one_kind_the_most_packets_first() -> None:
    story = good().add(
        AS_IT_STANDS, flow(ECHO4, "udp", 7, 1), flow(ECHO4, "tcp", 80, 4), flow(ECHO4, "tcp", 80, 5)
    )
    reason = story.verdict(CLAIM).reason
    assert "3 flows of 12 (10 packets)" in reason
    assert "tcp/80, 9 packets; echo (198.18.80.80) udp/7, 1 packet" in reason


@pytest.mark.parametrize("name", ["api.ipify.org", "x.headscale.lab.test", ""])
def test_refuted_by_a_name_that_is_not_the_infrastructures(name: str) -> None:
    verdict = good().add(AS_IT_STANDS, NameAsked(NODE4, name, "A")).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert f"'{name}' 1 time" in verdict.reason


def test_names_asked_from_a_bridge_address_on_the_nodes_wire_are_the_nodes() -> None:
    asked = NameAsked("172.17.0.2", "api.ipify.org", "A")
    assert good().add(AS_IT_STANDS, asked).verdict(CLAIM).outcome is Outcome.PROVEN
    leaked = flow(RESOLVER4, "udp", 53, source="172.17.0.2")
    assert good().add(AS_IT_STANDS, asked, leaked).verdict(CLAIM).outcome is Outcome.REFUTED


@pytest.mark.parametrize(
    ("destination", "protocol", "port", "named"),
    [
        (ECHO4, "tcp", 80, "IPv4 tcp"),
        (ECHO4, "udp", 7, "IPv4 udp"),
        (ECHO6, "tcp", 443, "IPv6 tcp"),
        (ECHO6, "udp", 7, "IPv6 udp"),
    ],
)
def test_unproven_names_the_missing_control(destination: str, protocol: str, port: int, named: str) -> None:
    story = good().drop(FlowSeen, CONTROL, lambda f: (f.destination, f.protocol) == (destination, protocol))
    verdict = story.verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert f"no foreign flow in the control for {named}." in verdict.reason
    no_substitutes = story.add(
        CONTROL,
        flow(destination, protocol, port, wire="client"),
        flow(CONTROL6 if ":" in destination else CONTROL4, protocol, 9999),
        flow("ff02::fb" if ":" in destination else "224.0.0.251", protocol, 5353),
    )
    assert no_substitutes.verdict(CLAIM).outcome is Outcome.UNPROVEN


def test_unproven_without_the_control_server() -> None:
    story = good().drop(FlowSeen, AS_IT_STANDS, lambda f: f.port == 443)
    verdict = story.verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "control server's tcp/443" in verdict.reason


def test_unproven_when_nothing_was_sent_at_all() -> None:
    verdict = good().drop(RequestSeen, AS_IT_STANDS).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "no request arrived" in verdict.reason


def test_unproven_when_the_query_log_is_blind() -> None:
    verdict = good().drop(NameAsked, AS_IT_STANDS).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "query log" in verdict.reason


def test_proven_when_no_name_was_asked_and_none_could_be() -> None:
    story = good().drop(NameAsked, AS_IT_STANDS).drop(FlowSeen, AS_IT_STANDS, lambda f: f.port == 53)
    assert story.verdict(CLAIM).outcome is Outcome.PROVEN
