"""serve.survives.<fault>: who may not got no connection, whatever befell the service."""

import pytest

from harness.claims import catalogue
from harness.claims.befallen import Fate
from harness.claims.verdict import Outcome, Verdict
from harness.ledger.episodes import under
from harness.ledger.facts import EpisodeEnded, Fact, FaultSeen, Phase, RoundAsked, Way
from tests.claims.build import EXPECTATION, Story

FAULT = "tailscaled-killed"
CLAIM = catalogue.fault_claim(FAULT, "tailscaled was killed", "serve")
EPISODE = under(FAULT)
INJECTED, SHOWN, HEALED = 10.0, 11.0, 15.0
MAY_NOT = {"stranger": Way.TAILNET, "outsider": Way.DIRECT, "neighbour": Way.DIRECT}
STRETCHES = {"before it": 5.0, "while it lasted": 12.0, "after it": 16.0}


def asked(by: str, began: float, *connected: str, controls: int = 3) -> RoundAsked:
    return RoundAsked(by, MAY_NOT.get(by, Way.TAILNET), began, began + 0.5, 4, connected, 3, controls)


def story() -> Story:
    told: list[Fact] = [
        FaultSeen(FAULT, Phase.INJECTED, INJECTED, "tailscaled was killed"),
        FaultSeen(FAULT, Phase.SHOWN, SHOWN, "process 7 has ended"),
        FaultSeen(FAULT, Phase.HEALED, HEALED, "nothing was done"),
        EpisodeEnded(0, 20, "over"),
        asked("client", 5.0, "http://web/"),
        asked("client", 12.0),
        asked("client", 16.0, "http://web/"),
    ]
    told += [asked(host, at) for host in MAY_NOT for at in STRETCHES.values()]
    return Story().add(EPISODE, *told)


def judge(told: Story) -> Verdict:
    return catalogue.judge(CLAIM, told.history(), EXPECTATION)


def test_nobody_was_let_in_while_it_was_away() -> None:
    verdict = judge(story())
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.reason.startswith(Fate.STOPPED)
    assert "neighbour, outsider, stranger asked 36 times and got no connection" in verdict.reason
    assert "1 of 1 time before, 0 of 1 time while it lasted, 1 of 1 time after it" in verdict.reason


def test_it_held_where_the_client_was_answered_meanwhile() -> None:
    assert judge(story().add(EPISODE, asked("client", 13.0, "http://web/"))).reason.startswith(Fate.HELD)


def test_an_answer_that_waited_for_the_end_is_none_of_it() -> None:
    assert judge(story().add(EPISODE, asked("client", 14.8, "http://web/"))).reason.startswith(Fate.STOPPED)


@pytest.mark.parametrize("host", MAY_NOT)
@pytest.mark.parametrize("at", [5.5, 10.4, 12.5, 19.0])
def test_one_connection_refutes_it_whenever_it_came(host: str, at: float) -> None:
    verdict = judge(story().add(EPISODE, asked(host, at, "http://203.0.113.10:8080/")))
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.reason.startswith(Fate.LEAKED)
    assert f"{host} by http://203.0.113.10:8080/ (1)" in verdict.reason
    assert f"the first {at - INJECTED:.1f} s after it began" in verdict.reason


@pytest.mark.parametrize("host", MAY_NOT)
@pytest.mark.parametrize(("name", "at"), STRETCHES.items(), ids=list(STRETCHES))
def test_who_did_not_ask_shows_nothing(host: str, name: str, at: float) -> None:
    told = story().drop(RoundAsked, where=lambda r: r.by == host and r.began == at)
    verdict = judge(told)
    assert verdict.outcome is Outcome.UNPROVEN
    assert f"{host} did not ask {name}" in verdict.reason


@pytest.mark.parametrize("host", MAY_NOT)
def test_who_reaches_nothing_at_all_shows_nothing(host: str) -> None:
    told = story().drop(RoundAsked, where=lambda r: r.by == host and r.began == STRETCHES["before it"])
    verdict = judge(told.add(EPISODE, asked(host, 5.0, controls=0)))
    assert verdict.outcome is Outcome.UNPROVEN
    assert f"{host} was not shown to reach a control before it" in verdict.reason


def test_a_round_that_took_all_the_while_is_enough() -> None:
    told = story().drop(RoundAsked, where=lambda r: r.by == "outsider" and r.began == 12.0)
    long = RoundAsked("outsider", Way.DIRECT, SHOWN - 0.5, HEALED + 0.5, 9, (), 3, 0)
    assert judge(told.add(EPISODE, long)).outcome is Outcome.PROVEN


def test_a_service_that_never_answered_shows_nothing() -> None:
    verdict = judge(story().drop(RoundAsked, where=lambda r: r.by == "client"))
    assert verdict.outcome is Outcome.UNPROVEN
    assert "client was not answered before it" in verdict.reason


@pytest.mark.parametrize("phase", Phase)
def test_without_a_phase_nothing_is_shown(phase: Phase) -> None:
    verdict = judge(story().drop(FaultSeen, where=lambda fact: fact.phase is phase))
    assert verdict.outcome is Outcome.UNPROVEN
    assert f"the fault was not {phase}" in verdict.reason
