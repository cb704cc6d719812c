"""identity.tagged and identity.removed_after_stop: what the control server lists."""

import pytest

from harness.claims.verdict import Outcome
from harness.ledger.episodes import AS_IT_STANDS
from harness.ledger.facts import Moment, TailnetNode, TailnetSeen
from tests.claims.build import (
    CLIENT_MEMBER,
    EXIT_MEMBER,
    JOB_MEMBER,
    Story,
    expecting,
    facts,
    good,
    member,
    tailnet,
)

TAGGED, REMOVED = "identity.tagged", "identity.removed_after_stop"
WORKER = "tag:nomad-worker"
BEFORE = tailnet(Moment.BEFORE, EXIT_MEMBER, CLIENT_MEMBER)
RUNNING = tailnet(Moment.RUNNING, EXIT_MEMBER, CLIENT_MEMBER, JOB_MEMBER)
AFTER = tailnet(Moment.AFTER, EXIT_MEMBER, CLIENT_MEMBER)


def listed(*snapshots: TailnetSeen) -> Story:
    return good().put(TailnetSeen, AS_IT_STANDS, *snapshots)


def running(*nodes: TailnetNode) -> Story:
    return listed(BEFORE, tailnet(Moment.RUNNING, EXIT_MEMBER, *nodes), AFTER)


def test_tagged_proven() -> None:
    verdict = good().verdict(TAGGED)
    assert verdict.outcome is Outcome.PROVEN
    assert "1 node joined (egress-worker-7), ephemeral, with exactly tag:nomad-worker" in verdict.reason
    assert "2 older nodes with other tags" in verdict.reason


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (member("7", "w", ephemeral=True), "w has no tags"),
        (member("7", "w", user="me@example.com", ephemeral=True), "no tags and the user me@example.com"),
        (member("7", "w", "tag:exit", ephemeral=True), "w has tag:exit"),
        (member("7", "w", WORKER, "tag:exit", ephemeral=True), "w has tag:exit, tag:nomad-worker"),
        (member("7", "w", WORKER), "w is not ephemeral"),
        (member("7", "", "tag:x"), "7 has tag:x and is not ephemeral"),
    ],
)
def test_tagged_refuted(node: TailnetNode, says: str) -> None:
    for story in (running(node), running(JOB_MEMBER, node), running(node).add(AS_IT_STANDS, RUNNING)):
        verdict = story.verdict(TAGGED)
        assert verdict.outcome is Outcome.REFUTED
        assert says in verdict.reason
        assert verdict.evidence


def test_tagged_needs_all_tags() -> None:
    verdict = good().verdict(TAGGED, expecting(tags=frozenset({WORKER, "tag:more"})))
    assert verdict.outcome is Outcome.REFUTED


@pytest.mark.parametrize(
    ("story", "says"),
    [
        (running(), "No node joined"),
        (listed(BEFORE, AFTER), "missing: running"),
        (listed(RUNNING, AFTER), "missing: before"),
        (listed(), "missing: before, running"),
        (
            listed(tailnet(Moment.BEFORE), tailnet(Moment.RUNNING, JOB_MEMBER)),
            "no older node with other tags",
        ),
        (
            listed(
                tailnet(Moment.BEFORE, member("1", "twin", WORKER)),
                tailnet(Moment.RUNNING, member("1", "twin", WORKER), JOB_MEMBER),
            ),
            "no older node with other tags",
        ),
    ],
)
def test_tagged_unproven(story: Story, says: str) -> None:
    verdict = story.verdict(TAGGED)
    assert verdict.outcome is Outcome.UNPROVEN
    assert says in verdict.reason


def test_an_older_node_is_known_by_its_id_not_its_name() -> None:
    again = member("8", "exit-a", "tag:exit")
    assert running(again).verdict(TAGGED).outcome is Outcome.REFUTED


def test_removed_proven() -> None:
    verdict = good().verdict(REMOVED)
    assert verdict.outcome is Outcome.PROVEN
    assert "1 node (egress-worker-7) listed while the job ran, none after" in verdict.reason
    assert "2 other nodes still listed" in verdict.reason
    assert facts(verdict.evidence) == [AFTER]
    assert facts(verdict.controls) == [RUNNING]


@pytest.mark.parametrize("left", [JOB_MEMBER, member("9", "egress-worker-9", WORKER, ephemeral=True)])
def test_removed_refuted(left: TailnetNode) -> None:
    verdict = listed(BEFORE, RUNNING, tailnet(Moment.AFTER, EXIT_MEMBER, CLIENT_MEMBER, left)).verdict(
        REMOVED
    )
    assert verdict.outcome is Outcome.REFUTED
    assert left.name in verdict.reason


def test_removed_goes_by_the_last_list() -> None:
    still = tailnet(Moment.AFTER, EXIT_MEMBER, CLIENT_MEMBER, JOB_MEMBER)
    assert listed(BEFORE, RUNNING, still, AFTER).verdict(REMOVED).outcome is Outcome.PROVEN
    assert listed(BEFORE, RUNNING, AFTER, still).verdict(REMOVED).outcome is Outcome.REFUTED


@pytest.mark.parametrize(
    ("story", "says"),
    [
        (running(), "No node joined"),
        (listed(BEFORE, RUNNING), "missing: after"),
        (listed(RUNNING, AFTER), "missing: before"),
        (listed(BEFORE, AFTER), "missing: running"),
        (listed(BEFORE, RUNNING, tailnet(Moment.AFTER)), "lacks client, exit-a too"),
        (listed(BEFORE, RUNNING, tailnet(Moment.AFTER, EXIT_MEMBER)), "lacks client too"),
        (
            listed(tailnet(Moment.BEFORE), tailnet(Moment.RUNNING, JOB_MEMBER), tailnet(Moment.AFTER)),
            "no other node either",
        ),
    ],
)
def test_removed_unproven(story: Story, says: str) -> None:
    verdict = story.verdict(REMOVED)
    assert verdict.outcome is Outcome.UNPROVEN
    assert says in verdict.reason


def test_an_older_ephemeral_node_may_go_as_well() -> None:
    older = member("5", "earlier-job", WORKER, ephemeral=True)
    story = listed(
        tailnet(Moment.BEFORE, EXIT_MEMBER, older),
        tailnet(Moment.RUNNING, EXIT_MEMBER, older, JOB_MEMBER),
        AFTER,
    )
    assert (
        story.verdict(REMOVED).outcome is Outcome.REFUTED
    )  # the client is new there: it counts as the job's
    story = story.drop(TailnetSeen, where=lambda s: s is AFTER).add(
        AS_IT_STANDS, tailnet(Moment.AFTER, EXIT_MEMBER)
    )
    assert story.verdict(REMOVED).outcome is Outcome.PROVEN


def test_snapshots_from_before_the_join_are_no_evidence() -> None:
    early = tailnet(Moment.RUNNING, EXIT_MEMBER, CLIENT_MEMBER)
    story = listed(BEFORE, early, RUNNING, AFTER)
    assert facts(story.verdict(TAGGED).evidence) == [RUNNING]
    assert facts(story.verdict(REMOVED).controls) == [RUNNING]


def test_a_refutation_shows_the_snapshots_at_fault_and_no_false_control() -> None:
    wrong = tailnet(Moment.RUNNING, member("7", "w", "tag:x"))
    verdict = listed(tailnet(Moment.BEFORE, EXIT_MEMBER), RUNNING, wrong).verdict(TAGGED)
    assert verdict.outcome is Outcome.REFUTED
    wrongs = listed(tailnet(Moment.BEFORE, EXIT_MEMBER, CLIENT_MEMBER), RUNNING, wrong).verdict(TAGGED)
    assert facts(wrongs.evidence) == [wrong]
    assert facts(wrongs.controls) == [RUNNING]


def test_a_lasting_node_of_the_job_may_be_removed_and_a_nameless_one_is_told_by_id() -> None:
    lasting = member("7", "", WORKER)
    story = listed(BEFORE, tailnet(Moment.RUNNING, EXIT_MEMBER, CLIENT_MEMBER, lasting), AFTER)
    verdict = story.verdict(REMOVED)
    assert verdict.outcome is Outcome.PROVEN
    assert "1 node (7)" in verdict.reason
