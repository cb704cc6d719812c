"""egress.address: by which addresses the receiver saw the example."""

import pytest

from harness.claims.verdict import Outcome
from harness.ledger.episodes import AS_IT_STANDS, CONTROL
from harness.ledger.facts import RequestSeen
from tests.claims.build import (
    EXIT_A,
    EXIT_A4,
    EXIT_B,
    EXIT_B4,
    EXIT_B6,
    NODE4,
    NODE6,
    NODE_LAN,
    expecting,
    facts,
    good,
    request,
)

CLAIM = "egress.address"


def test_proven_tells_protocol_family_and_exit() -> None:
    verdict = good().verdict(CLAIM)
    assert verdict.outcome is Outcome.PROVEN
    assert "All 5 requests came from exit-a" in verdict.reason
    for said in ("1 udp from exit-a (IPv4 198.51.100.20)", "1 https from exit-a (IPv6 2001:db8:20::20)"):
        assert said in verdict.reason
    assert len(verdict.evidence) == 5
    assert facts(verdict.controls) == [request(NODE4, "http"), request(NODE6, "https")]


@pytest.mark.parametrize(
    ("peer", "named"),
    [
        (NODE4, "node (IPv4 203.0.113.10)"),
        (NODE6, "node (IPv6 2001:db8:113::10)"),
        (NODE_LAN, "node (IPv4 10.20.0.10)"),
        (EXIT_B4, "exit-b"),
        ("192.0.2.1", "192.0.2.1"),
        ("nonsense", "1 http from nonsense."),
    ],
)
def test_refuted_by_one_request_from_elsewhere(peer: str, named: str) -> None:
    verdict = good().add(AS_IT_STANDS, request(peer, "http")).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert "1 of 6 requests did not come from exit-a" in verdict.reason
    assert named in verdict.reason
    assert facts(verdict.evidence) == [request(peer, "http")]


def test_the_fallback_is_not_allowed_while_nothing_failed() -> None:
    story = good().put(RequestSeen, AS_IT_STANDS, request(EXIT_B4), request(EXIT_B6))
    assert "2 of 2 requests" in story.verdict(CLAIM).reason


def test_several_exits_any_subset() -> None:
    expectation = expecting(via=(EXIT_A, EXIT_B))
    assert good().verdict(CLAIM, expectation).outcome is Outcome.PROVEN
    both = good().add(AS_IT_STANDS, request(EXIT_B4)).verdict(CLAIM, expectation)
    assert both.outcome is Outcome.PROVEN
    assert "exit-a or exit-b" in both.reason


def test_no_allowed_exit_allows_nothing() -> None:
    verdict = good().verdict(CLAIM, expecting(via=()))
    assert verdict.outcome is Outcome.REFUTED
    assert "5 of 5 requests did not come from an exit (none is allowed)" in verdict.reason


def test_unproven_without_requests() -> None:
    verdict = good().drop(RequestSeen, AS_IT_STANDS).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "no request" in verdict.reason


@pytest.mark.parametrize("control", [(), (request(EXIT_A4),)])
def test_unproven_when_the_echo_was_not_shown_to_tell_the_node(control: tuple[RequestSeen, ...]) -> None:
    verdict = good().put(RequestSeen, CONTROL, *control).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "positive control" in verdict.reason
    assert "5 requests came from exit-a" in verdict.reason


def test_a_leak_needs_no_control() -> None:
    story = good().drop(RequestSeen, CONTROL).add(AS_IT_STANDS, request(NODE4))
    assert story.verdict(CLAIM).outcome is Outcome.REFUTED


def test_many_senders_do_not_flood_the_reason() -> None:
    story = good().add(AS_IT_STANDS, *(request(f"192.0.2.{n}") for n in range(100)))
    reason = story.verdict(CLAIM).reason
    assert "100 of 105" in reason
    assert "and 92 more" in reason
