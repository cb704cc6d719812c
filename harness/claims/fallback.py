"""`egress.fallback`: with its first exit gone, traffic leaves by a fallback, and still by nothing else."""

from harness.claims.packets import direct_flows
from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.claims.wording import count, listing
from harness.ledger.episodes import AS_IT_STANDS, CONTROL, EXIT_WITHDRAWN
from harness.ledger.facts import ExitWithdrawn, RequestSeen
from harness.ledger.ledger import History


def fallback(history: History, expectation: Expectation) -> Verdict:
    """Judge by which address requests came while the exits of `via` were no exits.

    Args:
        history: episodes exit-withdrawn, as-it-stands and control, the flow book of the first closed.
        expectation: the exits, the fallbacks.

    Returns:
        Refuted by a request from any address but a fallback's, and by a flow of the node that serves no
        allowed purpose. Unproven when no request came, when an exit of `via` was not withdrawn, or when
        as it stands the requests did not come by another exit: then nothing fell back.
    """
    episode = history.episode(EXIT_WITHDRAWN)
    requests = episode.of(RequestSeen)
    allowed = {a for host in expectation.fallback for a in host.addresses}
    names = listing(host.name for host in expectation.fallback)
    via = {a for host in expectation.via for a in host.addresses}
    controls = tuple(
        o for o, r in history.episode(AS_IT_STANDS).of(RequestSeen) if r.peer in via and r.peer not in allowed
    )
    foreign = [(o, r) for o, r in requests if r.peer not in allowed]
    direct = direct_flows(episode, expectation)
    faults = []
    if foreign:
        senders = listing(sorted({expectation.host_of(r.peer) for _, r in foreign}))
        faults.append(f"{count(len(foreign), 'request')} of {len(requests)} came from {senders}, not {names}")
    if direct:
        places = listing(
            sorted(f"{expectation.host_of(f.destination)} {f.protocol}/{f.port}" for _, f in direct)
        )
        faults.append(f"{expectation.node.name} sent packets directly to {places}")
    if faults:
        evidence = tuple(o for o, _ in foreign) + tuple(o for o, _ in direct)
        return Verdict(Outcome.REFUTED, f"With the first exit gone, {'; '.join(faults)}.", evidence, controls)
    withdrawn = [(o, w) for o, w in episode.of(ExitWithdrawn) if w.withdrawn and not w.left]
    evidence = tuple(o for o, _ in requests) + tuple(o for o, _ in withdrawn)
    missing = [
        f"{host.name} was still an exit node"
        for host in expectation.via
        if host.name not in {w.host for _, w in withdrawn}
    ]
    if not requests:
        missing.append("no request came at all")
    if not controls:
        missing.append(f"as it stands, no request came by another exit than {names}")
    if not any(r.peer in expectation.node.addresses for _, r in history.episode(CONTROL).of(RequestSeen)):
        missing.append(f"the echo service was never shown to see {expectation.node.name} by its own address")
    if missing:
        return Verdict(Outcome.UNPROVEN, f"Not shown: {listing(missing, '; ')}.", evidence, controls)
    gone = listing(w.host for _, w in withdrawn)
    return Verdict(
        Outcome.PROVEN,
        f"With {gone} no exit node any more, all {count(len(requests), 'request')} came from {names}, and "
        f"{expectation.node.name} sent nothing directly; as it stands they came from "
        f"{listing(host.name for host in expectation.via)}.",
        evidence,
        controls,
    )
