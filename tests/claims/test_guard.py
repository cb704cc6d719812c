"""egress.guard_holds: no worker without its exit."""

import pytest

from harness.claims.verdict import Outcome
from harness.ledger.episodes import ADDRESS_WRONG, AS_IT_STANDS, EXIT_ABSENT
from harness.ledger.facts import Fact, LieTold, Moment, TailnetSeen, TaskEventSeen, TaskLog
from tests.claims.build import (
    CLIENT_MEMBER,
    EXIT_A4,
    EXIT_MEMBER,
    NODE4,
    UNTRUSTED_MEMBER,
    allocation,
    end,
    event,
    expecting,
    facts,
    good,
    log,
    request,
    tailnet,
)

CLAIM = "egress.guard_holds"
BOTH = pytest.mark.parametrize("episode", [EXIT_ABSENT, ADDRESS_WRONG])


def test_proven_quotes_the_guard() -> None:
    verdict = good().verdict(CLAIM)
    assert verdict.outcome is Outcome.PROVEN
    assert "in exit-absent the guard ended with 1, saying 'exit node exit-a is not in the tailnet'" in (
        verdict.reason
    )
    assert "saying 'observed 192.0.2.66, allowed 198.51.100.20'" in verdict.reason
    assert facts(verdict.controls) == [event("worker", "Started")]
    assert len(verdict.evidence) == 6


@BOTH
@pytest.mark.parametrize(
    "started",
    [event("worker", "Started"), allocation(end("worker", started=True))],
    ids=["event", "allocation"],
)
def test_refuted_by_a_worker_that_started(episode: str, started: Fact) -> None:
    verdict = good().add(episode, started).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert f"a worker started in {episode}" in verdict.reason
    assert facts(verdict.evidence) == [started]


@BOTH
@pytest.mark.parametrize("peer", [EXIT_A4, NODE4])
def test_refuted_by_a_workers_request_however_many_lies_were_told(episode: str, peer: str) -> None:
    story = good().add(ADDRESS_WRONG, LieTold("192.0.2.66", 100))
    verdict = story.add(episode, request(peer), request(peer)).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert f"2 requests of a worker arrived in {episode}" in verdict.reason
    assert facts(verdict.evidence) == [request(peer), request(peer)]


@BOTH
def test_a_worker_that_waits_has_not_started(episode: str) -> None:
    story = good().add(episode, event("worker", "Received"), event("worker", "Task Setup"))
    assert story.verdict(CLAIM).outcome is Outcome.PROVEN


@BOTH
def test_the_guard_itself_and_the_sidecar_may_start(episode: str) -> None:
    story = good().add(episode, event("egress-guard", "Started"), event("tailscale", "Started"))
    assert story.verdict(CLAIM).outcome is Outcome.PROVEN


def test_task_names_come_from_the_expectation() -> None:
    story = (
        good().add(EXIT_ABSENT, event("crawler", "Started")).add(AS_IT_STANDS, event("crawler", "Started"))
    )
    assert story.verdict(CLAIM).outcome is Outcome.PROVEN
    verdict = story.verdict(CLAIM, expecting(workers=frozenset({"crawler"})))
    assert verdict.outcome is Outcome.REFUTED


@BOTH
@pytest.mark.parametrize(
    "guard_events",
    [
        (),
        (event("egress-guard", "Started"),),
        (event("egress-guard", "Terminated", 0),),
        (event("egress-guard", "Terminated", None),),
        (event("tailscale", "Terminated", 1),),
        (event("egress-guard", "Restarting", 1),),
    ],
    ids=["silent", "waiting", "succeeded", "unknown", "sidecar", "restarting"],
)
def test_unproven_when_the_guard_never_failed(episode: str, guard_events: tuple[Fact, ...]) -> None:
    verdict = good().put(TaskEventSeen, episode, *guard_events).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert f"no guard ended with an error in {episode}" in verdict.reason


@BOTH
@pytest.mark.parametrize("logs", [(), (log(" \n\n"),), (log("bye", task="tailscale"),)])
def test_unproven_when_the_guard_gave_no_reason(episode: str, logs: tuple[Fact, ...]) -> None:
    verdict = good().put(TaskLog, episode, *logs).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert f"failed in {episode} without a word" in verdict.reason


def test_the_last_word_is_from_stderr_where_there_is_one() -> None:
    logs = (log("no exit\n \n"), log("waiting", stream="stdout"))
    assert "saying 'no exit'" in good().put(TaskLog, EXIT_ABSENT, *logs).verdict(CLAIM).reason
    only_stdout = good().put(TaskLog, EXIT_ABSENT, log("a\n b ", stream="stdout"))
    assert "saying 'b'" in only_stdout.verdict(CLAIM).reason


@pytest.mark.parametrize("lies", [(), (LieTold("192.0.2.66", 0),)])
def test_unproven_when_the_lie_was_never_asked_for(lies: tuple[Fact, ...]) -> None:
    verdict = good().put(LieTold, ADDRESS_WRONG, *lies).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "never asked for the wrong address" in verdict.reason


@pytest.mark.parametrize(
    "lists",
    [
        (),
        (tailnet(Moment.RUNNING, EXIT_MEMBER, CLIENT_MEMBER),),
        (tailnet(Moment.RUNNING),),
        (tailnet(Moment.BEFORE, EXIT_MEMBER, UNTRUSTED_MEMBER),),
        (tailnet(Moment.AFTER, EXIT_MEMBER, UNTRUSTED_MEMBER),),
    ],
    ids=["no-list", "nobody-new", "empty-list", "listed-before", "listed-after"],
)
def test_unproven_when_the_node_without_an_exit_never_joined(lists: tuple[Fact, ...]) -> None:
    verdict = good().put(TailnetSeen, EXIT_ABSENT, *lists).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "no node was seen to join the tailnet in exit-absent" in verdict.reason


def test_unproven_when_nobody_knows_who_was_there_before() -> None:
    story = good().drop(TailnetSeen, AS_IT_STANDS, where=lambda seen: seen.moment is Moment.BEFORE)
    verdict = story.verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "no node was seen to join" in verdict.reason


def test_a_join_is_shown_as_evidence() -> None:
    joined = tailnet(Moment.RUNNING, EXIT_MEMBER, CLIENT_MEMBER, UNTRUSTED_MEMBER)
    assert joined in facts(good().verdict(CLAIM).evidence)


def test_a_leak_refutes_even_when_nobody_joined() -> None:
    story = good().drop(TailnetSeen, EXIT_ABSENT).add(EXIT_ABSENT, event("worker", "Started"))
    assert story.verdict(CLAIM).outcome is Outcome.REFUTED


def test_unproven_when_no_worker_ever_starts() -> None:
    verdict = good().drop(TaskEventSeen, AS_IT_STANDS).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "no worker starts in as-it-stands either" in verdict.reason
