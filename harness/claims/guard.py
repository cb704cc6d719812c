"""`egress.guard_holds`: with no exit, or by the wrong address, no worker starts, and one can read why."""

from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.claims.wording import count, listing
from harness.ledger.episodes import ADDRESS_WRONG, AS_IT_STANDS, EXIT_ABSENT
from harness.ledger.facts import (
    AllocationSeen,
    LieTold,
    Moment,
    RequestSeen,
    TailnetSeen,
    TaskEventSeen,
    TaskLog,
)
from harness.ledger.ledger import History, Observation

FAULTS = (EXIT_ABSENT, ADDRESS_WRONG)


def guard_holds(history: History, expectation: Expectation) -> Verdict:
    """Judge whether the guard kept every worker from starting while its exit was not there or not right.

    Args:
        history: episodes as-it-stands, exit-absent and address-wrong.
        expectation: which tasks are guards and which are workers.

    Returns:
        Refuted by a worker that started, or by a request of one, in either faulty episode. Unproven when the
        guard did not fail there with a readable reason, the lie was never asked for, the node that is to see
        no exit never joined the tailnet, or the worker does not start even in the untouched episode.
    """
    controls = _starts(history.episode(AS_IT_STANDS), expectation)
    leaks: list[str] = []
    missing: list[str] = []
    held: list[str] = []
    against: list[Observation] = []
    evidence: list[Observation] = []
    for name in FAULTS:
        episode = history.episode(name)
        starts = _starts(episode, expectation) + _started(episode, expectation)
        # Of these episodes the ledger holds the workers' requests only: a guard's own checks are in LieTold.
        requests = [o for o, _ in episode.of(RequestSeen)]
        if starts:
            leaks.append(f"a worker started in {name}")
        if requests:
            leaks.append(f"{count(len(requests), 'request')} of a worker arrived in {name}")
        against += [*starts, *requests]
        lies = [o for o, lie in episode.of(LieTold) if lie.asked >= 1]
        if name == ADDRESS_WRONG and not lies:
            missing.append(f"the check service was never asked for the wrong address in {name}")
        joins = _joins(history) if name == EXIT_ABSENT else ()
        if name == EXIT_ABSENT and not joins:
            # A guard that could not log in refuses for another reason than the one under test.
            missing.append(f"no node was seen to join the tailnet in {name}")
        failures = [
            (o, e)
            for o, e in episode.of(TaskEventSeen)
            if e.task in expectation.guards and e.event == "Terminated" and e.exit_code not in (None, 0)
        ]
        said = _last_words(episode, expectation)
        if not failures:
            missing.append(f"no guard ended with an error in {name}")
        elif said is None:
            missing.append(f"the guard failed in {name} without a word in its log")
        else:
            held.append(f"in {name} the guard ended with {failures[-1][1].exit_code}, saying '{said[1]}'")
        evidence += [*lies, *joins, *(o for o, _ in failures), *([said[0]] if said else [])]
    if leaks:
        return Verdict(
            Outcome.REFUTED, f"The guard did not hold: {'; '.join(leaks)}.", tuple(against), controls
        )
    if not controls:
        missing.append(f"no worker starts in {AS_IT_STANDS} either")
    if missing:
        return Verdict(Outcome.UNPROVEN, f"Not shown: {listing(missing, '; ')}.", tuple(evidence), controls)
    return Verdict(Outcome.PROVEN, f"No worker started: {'; '.join(held)}.", tuple(evidence), controls)


def _starts(episode: History, expectation: Expectation) -> tuple[Observation, ...]:
    return tuple(
        o for o, e in episode.of(TaskEventSeen) if e.task in expectation.workers and e.event == "Started"
    )


def _started(episode: History, expectation: Expectation) -> tuple[Observation, ...]:
    return tuple(
        o
        for o, allocation in episode.of(AllocationSeen)
        if any(end.started and end.task in expectation.workers for end in allocation.tasks)
    )


def _joins(history: History) -> tuple[Observation, ...]:
    """Give the lists of exit-absent that show a node which was not there before the job first ran."""
    before = [
        seen for _, seen in history.episode(AS_IT_STANDS).of(TailnetSeen) if seen.moment is Moment.BEFORE
    ]
    known = {node.id for seen in before for node in seen.nodes}
    return tuple(
        o
        for o, seen in history.episode(EXIT_ABSENT).of(TailnetSeen)
        if before and seen.moment is Moment.RUNNING and any(node.id not in known for node in seen.nodes)
    )


def _last_words(episode: History, expectation: Expectation) -> tuple[Observation, str] | None:
    """Give the last line that a guard printed, with its log; what it said on stderr goes first."""
    logs = [(o, log) for o, log in episode.of(TaskLog) if log.task in expectation.guards and log.text.strip()]
    if not logs:
        return None
    observation, log = max(logs, key=lambda pair: (pair[1].stream == "stderr", pair[0].number))
    return observation, log.text.strip().splitlines()[-1].strip()
