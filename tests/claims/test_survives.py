"""egress.survives.<fault>: what a fault may let out, and what must have been seen to say so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.claims import catalogue
from harness.claims.befallen import Fate
from harness.claims.verdict import Outcome, Verdict
from harness.errors import LabError
from harness.ledger.episodes import under
from harness.ledger.facts import (
    EpisodeEnded,
    Fact,
    FaultSeen,
    FlowBookClosed,
    NameAsked,
    ObserverFailed,
    Phase,
    RequestSeen,
    RequestSent,
)
from tests.claims.build import (
    ECHO4,
    EXIT_A4,
    EXIT_B4,
    EXPECTATION,
    NODE4,
    NODE6,
    Story,
    flow,
)

FAULT = "exit-deleted"
CLAIM = catalogue.fault_claim(FAULT, "the exit node was deleted")
EPISODE = under(FAULT)
INJECTED, SHOWN, HEALED, END = 1001.0, 1001.5, 1004.5, 1007.0
RATE = 25


def seen(at: float, peer: str = EXIT_A4) -> RequestSeen:
    return RequestSeen("http", peer, 4000, ECHO4, f"drum-{at}", seen_at=at)


def sent(at: float, answer: str = EXIT_A4, seconds: float = 0.01) -> RequestSent:
    return RequestSent(f"drum-{at}", at, seconds, answer, "" if answer else "refused")


def times(begin: float, end: float) -> list[float]:
    return [round(begin + n / RATE, 3) for n in range(int((end - begin) * RATE))]


def story(*, during: str = "") -> Story:
    told: list[Fact] = [
        FaultSeen(FAULT, Phase.INJECTED, INJECTED, "exit-a was deleted"),
        FaultSeen(FAULT, Phase.SHOWN, SHOWN, "tailscaled has no exit node"),
        FaultSeen(FAULT, Phase.HEALED, HEALED, "exit-a is back"),
        FlowBookClosed(10, 10),
        EpisodeEnded(1000, END, "over"),
        flow(EXIT_A4, "udp", 41641),
    ]
    for at in (*times(1000, INJECTED), *times(HEALED, END)):
        told += [sent(at), seen(at)]
    told += [sent(at, during) for at in times(SHOWN, HEALED)]
    if during:
        told += [seen(at, during) for at in times(SHOWN, HEALED)]
    return Story().add(EPISODE, *told)


def judge(told: Story) -> Verdict:
    return catalogue.judge(CLAIM, told.history(), EXPECTATION)


def test_what_stops_is_proven_to_have_let_nothing_out() -> None:
    verdict = judge(story())
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.reason.startswith(Fate.STOPPED)
    assert "0 of 75 while it lasted" in verdict.reason
    assert verdict.controls


@pytest.mark.parametrize("by", [EXIT_A4, EXIT_B4])
def test_what_is_answered_by_an_allowed_exit_held(by: str) -> None:
    verdict = judge(story(during=by))
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.reason.startswith(Fate.HELD)


def test_what_is_answered_only_when_all_is_over_had_stopped() -> None:
    late = sent(HEALED - 0.5, EXIT_A4, seconds=0.9)
    assert judge(story().add(EPISODE, late)).reason.startswith(Fate.STOPPED)


@given(st.floats(990, 1010), st.sampled_from([NODE4, NODE6, ECHO4, "192.0.2.7"]))
def test_one_request_from_elsewhere_refutes_it_whenever_it_came(at: float, peer: str) -> None:
    verdict = judge(story().add(EPISODE, seen(at, peer)))
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.reason.startswith(Fate.LEAKED)
    assert peer in verdict.reason
    assert any(o.fact == seen(at, peer) for o in verdict.evidence)


def test_how_long_and_from_where_it_leaked_is_said() -> None:
    told = story().add(EPISODE, *(seen(at, NODE4) for at in (1001.7, 1002.0, 1002.4)))
    assert "3 requests arrived directly within 0.7 s, the first 0.7 s after it began" in judge(told).reason


def test_an_attempt_refutes_it_too() -> None:
    verdict = judge(story().add(EPISODE, flow(ECHO4, "tcp", 443, 2)))
    assert verdict.outcome is Outcome.REFUTED
    assert "echo tcp/443 (2 packets), none of which became a request" in verdict.reason


def test_a_look_up_refutes_it_too() -> None:
    verdict = judge(story().add(EPISODE, NameAsked(NODE4, "api.ipify.org", "A")))
    assert verdict.outcome is Outcome.REFUTED
    assert "api.ipify.org" in verdict.reason


@pytest.mark.parametrize("phase", Phase)
def test_without_a_phase_nothing_is_shown(phase: Phase) -> None:
    told = story().drop(FaultSeen, where=lambda fact: fact.phase is phase)
    verdict = judge(told)
    assert verdict.outcome is Outcome.UNPROVEN
    assert f"the fault was not {phase}" in verdict.reason


def test_but_a_leak_is_one_all_the_same() -> None:
    told = story().drop(FaultSeen).add(EPISODE, seen(1002, NODE4))
    assert judge(told).outcome is Outcome.REFUTED


@pytest.mark.parametrize(
    ("begin", "end", "name"),
    [(0, INJECTED, "before it"), (SHOWN, HEALED, "while it lasted"), (HEALED, END, "after it")],
)
def test_too_little_traffic_shows_nothing(begin: float, end: float, name: str) -> None:
    told = story().drop(RequestSent, where=lambda s: begin <= s.began < end)
    verdict = judge(told)
    assert verdict.outcome is Outcome.UNPROVEN
    assert f"nothing was sent {name}" in verdict.reason
    few = told.add(EPISODE, *(sent(max(begin, 1000.0) + n * 0.5) for n in range(2)))
    assert f"only 2 requests a second were sent {name}" in judge(few).reason


def test_nothing_that_arrived_before_it_shows_nothing() -> None:
    told = story().drop(RequestSeen, where=lambda r: r.seen_at < INJECTED)
    verdict = judge(told)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "no request arrived before it" in verdict.reason


@pytest.mark.parametrize("broken", [FlowBookClosed(10, 11), ObserverFailed("dns", "it died")])
def test_a_broken_observer_is_an_error(broken: Fact) -> None:
    with pytest.raises(LabError):
        judge(story().add(EPISODE, broken))


def test_an_episode_that_did_not_end_proves_nothing() -> None:
    assert judge(story().drop(EpisodeEnded)).outcome is Outcome.UNPROVEN
