"""egress.dns: who was asked for which names."""

import pytest

from harness.claims.verdict import Outcome
from harness.ledger.episodes import AS_IT_STANDS, CONTROL
from harness.ledger.facts import FlowSeen, NameAsked, RequestSeen
from tests.claims.build import (
    ECHO4,
    EXIT_A4,
    LOGIN_SERVER,
    NODE4,
    NODE6,
    RESOLVER4,
    RESOLVER6,
    expecting,
    facts,
    flow,
    good,
)

CLAIM = "egress.dns"


def test_proven_names_what_was_asked() -> None:
    verdict = good().verdict(CLAIM)
    assert verdict.outcome is Outcome.PROVEN
    assert "node asked its own resolver 2 times" in verdict.reason
    assert LOGIN_SERVER in verdict.reason
    assert NameAsked(NODE4, "echo.lab.test", "A") in facts(verdict.controls)


def test_proven_when_no_name_was_asked_and_no_packet_sent() -> None:
    story = good().drop(NameAsked, AS_IT_STANDS).drop(FlowSeen, AS_IT_STANDS, lambda f: f.port == 53)
    verdict = story.verdict(CLAIM)
    assert verdict.outcome is Outcome.PROVEN
    assert "0 times" in verdict.reason


@pytest.mark.parametrize("client", [NODE4, NODE6])
def test_refuted_by_a_name(client: str) -> None:
    asked = NameAsked(client, "api.ipify.org", "AAAA")
    verdict = good().add(AS_IT_STANDS, asked, asked).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert "'api.ipify.org' 2 times" in verdict.reason
    assert facts(verdict.evidence) == [asked, asked]


def test_every_name_is_foreign_where_none_is_the_infrastructures() -> None:
    verdict = good().verdict(CLAIM, expecting(infrastructure_names=frozenset()))
    assert verdict.outcome is Outcome.REFUTED
    assert LOGIN_SERVER in verdict.reason


def test_an_exits_own_look_ups_are_not_the_nodes() -> None:
    story = good().add(AS_IT_STANDS, NameAsked(EXIT_A4, "echo.lab.test", "A"))
    assert story.verdict(CLAIM).outcome is Outcome.PROVEN


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("destination", "port"), [("8.8.8.8", 53), (ECHO4, 53), (ECHO4, 853), (RESOLVER4, 853), (EXIT_A4, 53)]
)
def test_refuted_by_packets_to_another_resolver(destination: str, protocol: str, port: int) -> None:
    verdict = good().add(AS_IT_STANDS, flow(destination, protocol, port, 3)).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert f"{protocol}/{port}" in verdict.reason
    assert "3 to" in verdict.reason


@pytest.mark.parametrize(
    "harmless",
    [
        flow(RESOLVER6, "tcp", 53),
        flow("8.8.8.8", "udp", 53, wire="exit-a"),
        flow(ECHO4, "tcp", 443),
        flow(ECHO4, "132", 53),
    ],
    ids=str,
)
def test_no_matter_for_dns(harmless: FlowSeen) -> None:
    assert good().add(AS_IT_STANDS, harmless).verdict(CLAIM).outcome is Outcome.PROVEN


@pytest.mark.parametrize(
    ("kind", "episode", "says"),
    [
        (NameAsked, CONTROL, "never shown to see node ask"),
        (FlowSeen, CONTROL, "never shown to see node speak"),
        (NameAsked, AS_IT_STANDS, "query log shows none"),
        (RequestSeen, AS_IT_STANDS, "sent no request"),
    ],
)
def test_unproven_names_what_is_missing(
    kind: type[NameAsked | FlowSeen | RequestSeen], episode: str, says: str
) -> None:
    verdict = good().drop(kind, episode).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert says in verdict.reason


def test_the_control_counts_only_the_nodes_own_look_ups() -> None:
    story = good().put(NameAsked, CONTROL, NameAsked(EXIT_A4, "echo.lab.test", "A"))
    assert story.verdict(CLAIM).outcome is Outcome.UNPROVEN


def test_the_control_counts_only_packets_to_port_53() -> None:
    verdict = good().drop(FlowSeen, CONTROL, lambda f: f.port == 53).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "speak to port 53" in verdict.reason
