"""egress.fallback: by which address traffic left while the first exit was no exit."""

import pytest

from harness.claims.verdict import Outcome
from harness.ledger.episodes import AS_IT_STANDS, CONTROL, EXIT_WITHDRAWN
from harness.ledger.facts import ExitWithdrawn, FlowSeen, RequestSeen
from tests.claims.build import ECHO4, EXIT_A4, EXIT_B4, NODE4, NODE6, Story, facts, flow, good, request

CLAIM = "egress.fallback"
GONE = ExitWithdrawn("exit-a", ("0.0.0.0/0",), ())


@pytest.mark.parametrize(("peer", "named"), [(NODE4, "node"), (NODE6, "node"), (EXIT_A4, "exit-a")])
def test_a_request_from_elsewhere_refutes(peer: str, named: str) -> None:
    verdict = good().add(EXIT_WITHDRAWN, request(peer)).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert f"1 request of 3 came from {named}, not exit-b" in verdict.reason
    assert facts(verdict.evidence) == [request(peer)]


def test_a_direct_flow_refutes_even_when_nothing_arrived() -> None:
    verdict = good().add(EXIT_WITHDRAWN, flow(ECHO4, "udp", 9)).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert "echo udp/9" in verdict.reason
    assert facts(verdict.evidence) == [flow(ECHO4, "udp", 9)]


def test_flows_of_other_hosts_are_nobodys_fault() -> None:
    assert good().add(EXIT_WITHDRAWN, flow(ECHO4, wire="exit-b")).verdict(CLAIM).outcome is Outcome.PROVEN


@pytest.mark.parametrize(
    ("story", "said"),
    [
        (good().drop(RequestSeen, EXIT_WITHDRAWN), "no request came at all"),
        (good().drop(ExitWithdrawn), "exit-a was still an exit node"),
        (
            good().put(ExitWithdrawn, EXIT_WITHDRAWN, ExitWithdrawn("exit-a", ("0.0.0.0/0",), ("::/0",))),
            "exit-a was still an exit node",
        ),
        (good().put(ExitWithdrawn, EXIT_WITHDRAWN, ExitWithdrawn("exit-a", (), ())), "still an exit node"),
        (
            good().put(ExitWithdrawn, EXIT_WITHDRAWN, ExitWithdrawn("exit-b", GONE.withdrawn, ())),
            "exit-a was",
        ),
        (good().put(RequestSeen, AS_IT_STANDS, request(EXIT_B4)), "no request came by another exit"),
        (good().drop(RequestSeen, CONTROL), "never shown to see node"),
    ],
)
def test_what_is_not_shown_is_not_proven(story: Story, said: str) -> None:
    verdict = story.verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert said in verdict.reason


def test_proven_names_both_exits() -> None:
    verdict = good().verdict(CLAIM)
    assert verdict.outcome is Outcome.PROVEN
    assert "exit-a no exit node any more, all 2 requests came from exit-b" in verdict.reason
    assert FlowSeen not in {type(f) for f in facts(verdict.evidence)}
