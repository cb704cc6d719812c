"""`egress.address`: the receiver saw the allowed exits, and nobody else."""

from collections import Counter
from collections.abc import Iterable

from harness.claims.addresses import family
from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.claims.wording import count, listing
from harness.ledger.episodes import AS_IT_STANDS, CONTROL
from harness.ledger.facts import RequestSeen
from harness.ledger.ledger import History


def address(history: History, expectation: Expectation) -> Verdict:
    """Judge by which addresses the receiver saw the example's requests come.

    In the untouched episode only the hosts of `via` count as allowed: a fallback is for when they fail,
    and nothing failed. Not every exit of `via` must have been used.

    Args:
        history: episodes as-it-stands and control.
        expectation: the exits, and the node's own addresses.

    Returns:
        Refuted by any request from another address. Unproven with no request at all, or when the control
        does not show that a request of the node's own would have been told by its address.
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


def _exits(expectation: Expectation) -> str:
    return " or ".join(host.name for host in expectation.via) or "an exit (none is allowed)"


def _tally(requests: Iterable[RequestSeen], expectation: Expectation) -> str:
    """Say how many came from where, a protocol and address family at a time."""
    tally = Counter((expectation.host_of(r.peer), r.peer, r.protocol, family(r.peer)) for r in requests)
    return listing(
        f"{number} {protocol} from {host}" + (f" ({kind or 'no address'} {peer})" if host != peer else "")
        for (host, peer, protocol, kind), number in sorted(tally.items())
    )
