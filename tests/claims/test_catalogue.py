"""The catalogue: ids, kinds, and what comes before any judgement."""

import pytest

from harness.claims.catalogue import CLAIMS, Claim, claims_for, judge
from harness.claims.verdict import Outcome
from harness.errors import LabError
from harness.ledger.episodes import AS_IT_STANDS, CONTROL
from harness.ledger.facts import (
    CaptureClosed,
    EpisodeEnded,
    Fact,
    FlowBookClosed,
    ObserverFailed,
    PacketCaptured,
)
from harness.ledger.ledger import History
from tests.claims.build import ECHO4, EXPECTATION, NODE4, Story, claim, ended, flow, good, request

EVERY_CLAIM = pytest.mark.parametrize("made", CLAIMS, ids=lambda c: c.id)
BOOKED = [c for c in CLAIMS if c.books]
EPISODES = pytest.mark.parametrize(
    ("made", "episode"), [(c, e) for c in CLAIMS for e in sorted(c.episodes)], ids=str
)


def test_ids_are_the_contract() -> None:
    assert [c.id for c in claims_for("egress")] == [
        "egress.address",
        "egress.no_direct_packets",
        "egress.dns",
        "egress.guard_holds",
        "egress.fallback",
        "egress.confined",
        "ports.none_public",
        "identity.tagged",
        "identity.removed_after_stop",
        "secrets.not_exposed",
    ]
    assert [c.id for c in claims_for("serve")] == [
        "serve.reachable",
        "serve.denied_to_strangers",
        "serve.private",
        "ports.none_public",
        "identity.tagged",
        "identity.removed_after_stop",
        "secrets.not_exposed",
    ]


def test_a_kind_without_claims_is_no_silent_pass() -> None:
    with pytest.raises(ValueError, match="'egres'"):
        claims_for("egres")


@EVERY_CLAIM
def test_a_good_run_proves_every_claim_with_evidence_and_controls(made: Claim) -> None:
    verdict = judge(made, good().history(), EXPECTATION)
    assert verdict.outcome is Outcome.PROVEN, verdict.reason
    assert verdict.evidence
    assert verdict.controls
    assert any(c.isdigit() for c in verdict.reason)
    assert made.title
    assert made.story


@EVERY_CLAIM
def test_nothing_observed_proves_nothing(made: Claim) -> None:
    verdict = judge(made, History(()), EXPECTATION)
    assert verdict.outcome is Outcome.UNPROVEN
    assert all(e in verdict.reason for e in made.episodes)


@EPISODES
def test_an_episode_that_never_ended_proves_nothing(made: Claim, episode: str) -> None:
    for story in (good().drop(EpisodeEnded, episode), good().without_episode(episode)):
        verdict = judge(made, story.history(), EXPECTATION)
        assert verdict.outcome is Outcome.UNPROVEN
        assert episode in verdict.reason


def test_a_leak_refutes_even_before_its_episode_ended() -> None:
    story = good().add(AS_IT_STANDS, request(NODE4)).without_episode(CONTROL).drop(EpisodeEnded)
    assert story.verdict("egress.address").outcome is Outcome.REFUTED


@EPISODES
@pytest.mark.parametrize(
    ("fact", "says"),
    [
        (ObserverFailed("echo", "exec stream ended"), "echo failed: exec stream ended"),
        (CaptureClosed("udp", 100, 1, "x.pcap"), "'udp' dropped 1"),
        (FlowBookClosed(5, 6), "5 packets in its rows but 6 in all"),
    ],
    ids=["died", "dropped", "miscounted"],
)
def test_an_observer_not_to_be_believed_is_an_error(made: Claim, episode: str, fact: Fact, says: str) -> None:
    with pytest.raises(LabError, match=says) as caught:
        judge(made, good().add(episode, fact).history(), EXPECTATION)
    assert episode in caught.value.problem
    assert caught.value.remedy


@EVERY_CLAIM
def test_a_failure_in_an_episode_not_needed_does_not_matter(made: Claim) -> None:
    story = good().add("elsewhere", ObserverFailed("echo", "gone"))
    assert judge(made, story.history(), EXPECTATION).outcome is Outcome.PROVEN


def test_every_failure_is_named() -> None:
    story = good().add(AS_IT_STANDS, ObserverFailed("echo", "a")).add(CONTROL, ObserverFailed("dns", "b"))
    with pytest.raises(LabError, match=r"as-it-stands, .* echo .*; in episode control, .* dns "):
        story.verdict("egress.dns")


@pytest.mark.parametrize(
    ("made", "episode"), [(c, e) for c in CLAIMS for e in sorted(c.books)], ids=lambda v: getattr(v, "id", v)
)
def test_a_flow_book_never_closed_is_an_error_for_its_readers(made: Claim, episode: str) -> None:
    for story in (
        good().drop(FlowBookClosed, episode),
        Story().add(episode, flow(ECHO4)),
        Story().add(episode, ended()),
    ):
        with pytest.raises(LabError, match="never closed"):
            judge(made, story.history(), EXPECTATION)


def test_who_reads_no_flow_book_needs_none() -> None:
    story = good().drop(FlowBookClosed)
    assert {c.id for c in CLAIMS if not c.books} == {
        c.id for c in CLAIMS if c not in BOOKED and story.verdict(c.id).outcome is Outcome.PROVEN
    }


def test_a_capture_with_packets_and_no_close_is_an_error() -> None:
    packet = PacketCaptured(1.0, NODE4, ECHO4, "tcp", 4000, 80, 60)
    with pytest.raises(LabError, match="capture"):
        good().drop(CaptureClosed).add(AS_IT_STANDS, packet).verdict("egress.no_direct_packets")


def test_claims_say_by_id_what_they_need() -> None:
    assert claim("egress.guard_holds").episodes == {"as-it-stands", "exit-absent", "address-wrong"}
