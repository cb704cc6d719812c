"""egress.confined: no attempt to go out directly was seen anywhere, and each would have been."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.claims.catalogue import CLAIMS
from harness.claims.verdict import Outcome
from harness.job.example import EgressPromise, Smoke
from harness.ledger.episodes import ESCAPE, ESCAPE_CONTROL
from harness.ledger.facts import EscapeTried, Fact, FlowSeen, NameAsked, RequestSeen
from tests.claims.build import (
    ECHO4,
    ECHO6,
    EXIT_A4,
    NODE4,
    NODE6,
    RESOLVER4,
    Story,
    expecting,
    facts,
    flow,
    good,
    request,
    tried,
)
from tests.claims.test_properties import FEW, FOREIGN_FLOWS

CLAIM = "egress.confined"
WORD = "escape-alloc-1-0"


def test_proven_says_how_often_it_was_tried() -> None:
    verdict = good().verdict(CLAIM)
    assert verdict.outcome is Outcome.PROVEN
    assert "None of 10 attempts to go out directly, made where worker runs" in verdict.reason
    assert "made from node itself, all 10 were" in verdict.reason


@pytest.mark.parametrize("way", ["http", "https", "tcp", "udp"])
@pytest.mark.parametrize(("peer", "kind"), [(NODE4, "4"), (NODE6, "6"), (EXIT_A4, "4")])
def test_an_attempt_that_arrived_refutes_whoever_seems_to_have_sent_it(
    peer: str, kind: str, way: str
) -> None:
    seen = replace(request(peer, way), token=f"{WORD}-{way}-{kind}")
    verdict = good().add(ESCAPE, seen).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert f"1 attempt got out: {WORD}-{way}-{kind}" in verdict.reason
    assert facts(verdict.evidence) == [seen]


def test_a_name_that_was_asked_for_refutes() -> None:
    asked = NameAsked(NODE6, f"{WORD}-dns-6.lab.test", "A")
    verdict = good().add(ESCAPE, asked).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert facts(verdict.evidence) == [asked]


@pytest.mark.parametrize("seen", [flow(ECHO4, "udp", 7, 1), flow(ECHO6), flow(RESOLVER4, "tcp", 443)])
def test_a_packet_refutes_even_when_nothing_arrived(seen: FlowSeen) -> None:
    verdict = good().add(ESCAPE, seen).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert facts(verdict.evidence) == [seen]


@FEW
@given(foreign=FOREIGN_FLOWS)
def test_any_foreign_flow_refutes(foreign: FlowSeen) -> None:
    assert good().add(ESCAPE, foreign).verdict(CLAIM).outcome is Outcome.REFUTED


@pytest.mark.parametrize(
    "harmless",
    [request(EXIT_A4), flow(ECHO4, wire="exit-a", source=EXIT_A4), NameAsked(EXIT_A4, "api.ipify.org", "A")],
)
def test_what_the_job_does_by_its_proxies_is_no_escape(harmless: Fact) -> None:
    assert good().add(ESCAPE, harmless).verdict(CLAIM).outcome is Outcome.PROVEN


@pytest.mark.parametrize(
    ("story", "said"),
    [
        (good().drop(EscapeTried, ESCAPE), "nothing was tried from where a worker"),
        (good().put(EscapeTried, ESCAPE, EscapeTried("worker", "alloc-1", (), ())), "nothing was tried"),
        (
            good().put(EscapeTried, ESCAPE, tried("tailscale", "alloc-1", WORD)),
            "nothing was tried from where",
        ),
        (
            good().put(EscapeTried, ESCAPE, EscapeTried("worker", "alloc-1", (f"{WORD}-tcp-4",), ())),
            "from worker, 1 attempt only",
        ),
        (good().drop(EscapeTried, ESCAPE_CONTROL), "nothing was tried from the node itself"),
        (
            good().drop(RequestSeen, ESCAPE_CONTROL, where=lambda r: r.token.endswith("udp-6")),
            "nobody saw control-escape-udp-6",
        ),
        (good().drop(NameAsked, ESCAPE_CONTROL), "control-escape-dns-4, control-escape-dns-6"),
        (
            good().drop(
                FlowSeen, ESCAPE_CONTROL, where=lambda f: f.destination == ECHO6 and f.protocol == "udp"
            ),
            "no foreign flow in the control for IPv6 udp",
        ),
    ],
)
def test_unproven_without_an_attempt_or_its_control(story: Story, said: str) -> None:
    verdict = story.verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert said in verdict.reason


def test_what_a_program_says_of_its_success_is_no_verdict() -> None:
    """A proxy that is transparent may answer for the receiver; only who saw it counts."""
    said = tried("worker", "alloc-1", WORD, f"{WORD}-http-4")
    assert good().put(EscapeTried, ESCAPE, said).verdict(CLAIM).outcome is Outcome.PROVEN


def test_which_tasks_are_workers_comes_from_the_expectation() -> None:
    verdict = good().verdict(CLAIM, expecting(workers=frozenset({"crawler"})))
    assert verdict.outcome is Outcome.UNPROVEN


@pytest.mark.parametrize(
    ("smoke", "made"),
    [
        (Smoke("egress", egress=EgressPromise(("exit-a",), confined=True)), True),
        (Smoke("egress", egress=EgressPromise(("exit-a",))), False),
        (Smoke("egress"), False),
        (Smoke("serve"), False),
    ],
)
def test_it_is_made_of_who_promises_it(smoke: Smoke, made: bool) -> None:
    (claim,) = (c for c in CLAIMS if c.id == CLAIM)
    assert (not claim.absence(smoke)) is made
    if smoke.kind == "egress" and not made:
        assert "not offered" in claim.absence(smoke)


@FEW
@given(gone=st.sets(st.integers(0, 200), min_size=1, max_size=8))
def test_leaving_out_never_refutes(gone: set[int]) -> None:
    kept = (EscapeTried, RequestSeen, NameAsked, FlowSeen)
    told = tuple(t for n, t in enumerate(good().told) if n not in gone or not isinstance(t[1], kept))
    assert Story(told).verdict(CLAIM).outcome is not Outcome.REFUTED
