"""`egress.address`: the receiver saw the allowed exits, and nobody else."""

from collections import Counter
from collections.abc import Iterable

from harness.claims.addresses import family
from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.claims.wording import count, listing
from harness.ledger.episodes import AS_IT_STANDS, CONTROL
from harness.ledger.facts import AllocationSeen, LaunchSeen, RequestSeen
from harness.ledger.ledger import History

_SHORT_ID = 8
"""Characters of an allocation's id that Nomad shows, and that a worker names itself by."""


def address(history: History, expectation: Expectation) -> Verdict:
    """Judge by which addresses the receiver saw the example's requests come.

    In the untouched episode only the hosts of `via` count as allowed: a fallback is for when they fail,
    and nothing failed. Not every exit of `via` must have been used.

    Args:
        history: episodes as-it-stands and control.
        expectation: the exits, and the node's own addresses.

    Returns:
        Refuted by any request from another address. Unproven with no request at all, with none of one of
        several allocations, with no launch of a periodic job by its schedule, or when the control does not
        show that a request of the node's own would have been told by its address.
    """
    requests = history.episode(AS_IT_STANDS).of(RequestSeen)
    controls = tuple(
        o for o, r in history.episode(CONTROL).of(RequestSeen) if r.peer in expectation.node.addresses
    )
    exits = {a for host in expectation.via for a in host.addresses}
    foreign = [(o, r) for o, r in requests if r.peer not in exits]
    if foreign:
        return Verdict(
            Outcome.REFUTED,
            f"{len(foreign)} of {count(len(requests), 'request')} did not come from {_exits(expectation)}: "
            f"{_tally((r for _, r in foreign), expectation)}.",
            tuple(o for o, _ in foreign),
            controls,
        )
    evidence = tuple(o for o, _ in requests)
    if not requests:
        return Verdict(Outcome.UNPROVEN, "The echo service saw no request.", evidence, controls)
    seen = (
        f"all {count(len(requests), 'request')} came from {_exits(expectation)}: "
        f"{_tally((r for _, r in requests), expectation)}"
    )
    if missing := _unheard(history, expectation):
        return Verdict(Outcome.UNPROVEN, f"Not shown: {missing}. As it stands, {seen}.", evidence, controls)
    if not controls:
        return Verdict(
            Outcome.UNPROVEN,
            f"The positive control is missing: the echo service was never shown to see "
            f"{expectation.node.name} by its own address. As it stands, {seen}.",
            evidence,
        )
    return Verdict(
        Outcome.PROVEN,
        f"{seen[0].upper()}{seen[1:]}. In the control it saw {count(len(controls), 'request')} of "
        f"{expectation.node.name} by its own address.",
        evidence,
        controls,
    )


def _unheard(history: History, expectation: Expectation) -> str:
    """Say which part of the job was not heard of; empty where all of it was.

    Workers of several allocations name themselves by their allocations, or cannot be told apart.
    """
    episode = history.episode(AS_IT_STANDS)
    if expectation.periodic and all(launch.forced for _, launch in episode.of(LaunchSeen)):
        return "a launch of the job by its schedule"
    worked = {
        seen.allocation[:_SHORT_ID]
        for _, seen in episode.of(AllocationSeen)
        if any(end.started and end.task in expectation.workers for end in seen.tasks)
    }
    said = [f"{r.token} {r.agent}" for _, r in episode.of(RequestSeen)]
    silent = {short for short in worked if not any(short in words for words in said)}
    if len(worked) > 1 and silent:
        return f"a request that names allocation {listing(sorted(silent))}"
    return ""


def _exits(expectation: Expectation) -> str:
    return " or ".join(host.name for host in expectation.via) or "an exit (none is allowed)"


def _tally(requests: Iterable[RequestSeen], expectation: Expectation) -> str:
    """Say how many came from where, a protocol and address family at a time."""
    tally = Counter((expectation.host_of(r.peer), r.peer, r.protocol, family(r.peer)) for r in requests)
    return listing(
        f"{number} {protocol} from {host}" + (f" ({kind or 'no address'} {peer})" if host != peer else "")
        for (host, peer, protocol, kind), number in sorted(tally.items())
    )
