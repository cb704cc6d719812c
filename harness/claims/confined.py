"""`egress.confined`: from where the job runs, there is no way out that its proxies do not know of."""

from collections.abc import Iterable

from harness.claims.addresses import family
from harness.claims.packets import WITNESSED, direct_flows
from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.claims.wording import count, listing
from harness.ledger.episodes import ESCAPE, ESCAPE_CONTROL
from harness.ledger.facts import EscapeTried, FlowSeen, NameAsked, RequestSeen
from harness.ledger.ledger import History, Observation

Tried = list[tuple[Observation, EscapeTried]]


def confined(history: History, expectation: Expectation) -> Verdict:
    """Judge whether any attempt to go out directly from a task's network namespace was seen outside.

    Args:
        history: episodes escape and escape-control, flow books closed.
        expectation: which tasks are workers, and what the node may speak to.

    Returns:
        Refuted by a request or a look-up of an attempt, and by any flow of the node's wire with no allowed
        purpose. Unproven when no attempt was made from a worker, or when the same attempt from the node
        itself was not seen: by the receiver or the resolver, and by the flow book by family and protocol.
    """
    episode, control = history.episode(ESCAPE), history.episode(ESCAPE_CONTROL)
    tried = [(o, t) for o, t in episode.of(EscapeTried) if t.place in expectation.workers]
    compared = control.of(EscapeTried)
    escaped = _seen(episode, (t for _, t in episode.of(EscapeTried)))
    shown = _seen(control, (t for _, t in compared))
    foreign = direct_flows(episode, expectation)
    witnesses = direct_flows(control, expectation)
    controls = tuple(o for found in shown.values() for o in found) + tuple(o for o, _ in witnesses)

    faults = []
    if escaped:
        faults.append(f"{count(len(escaped), 'attempt')} got out: {listing(sorted(escaped))}")
    if foreign:
        packets = sum(f.packets for _, f in foreign)
        where = listing(sorted({_where(f, expectation) for _, f in foreign}), "; ")
        faults.append(f"{count(packets, 'packet')} left {expectation.node.name} directly: {where}")
    if faults:
        evidence = [*(o for found in escaped.values() for o in found), *(o for o, _ in foreign)]
        return Verdict(Outcome.REFUTED, "; ".join(faults) + ".", tuple(evidence), controls)

    evidence = [o for o, _ in tried]
    attempts = {a for _, t in tried for a in t.attempts}
    missing = list(_missing(tried, compared, set(shown)))
    known = {(family(f.destination), f.protocol) for _, f in witnesses}
    if blind := [f"{kind} {protocol}" for kind, protocol in WITNESSED if (kind, protocol) not in known]:
        missing.append(f"no foreign flow in the control for {', '.join(blind)}")
    if missing:
        return Verdict(Outcome.UNPROVEN, f"Not shown: {listing(missing, '; ')}.", tuple(evidence), controls)
    return Verdict(
        Outcome.PROVEN,
        f"None of {count(len(attempts), 'attempt')} to go out directly, made where "
        f"{', '.join(sorted({t.place for _, t in tried}))} runs, was seen by the receiver, the resolver or "
        f"the flow book; made from {expectation.node.name} itself, all {len(shown)} were.",
        tuple(evidence),
        controls,
    )


def _seen(episode: History, tried: Iterable[EscapeTried]) -> dict[str, list[Observation]]:
    """Give the attempts that the receiver or the resolver saw, by their tokens."""
    attempts = {a for t in tried for a in t.attempts}
    found: dict[str, list[Observation]] = {}
    for observation, request in episode.of(RequestSeen):
        if request.token in attempts:
            found.setdefault(request.token, []).append(observation)
    for observation, asked in episode.of(NameAsked):
        label = asked.name.partition(".")[0]
        if label in attempts:
            found.setdefault(label, []).append(observation)
    return found


def _where(flow: FlowSeen, expectation: Expectation) -> str:
    return f"{expectation.host_of(flow.destination)} {flow.protocol}/{flow.port}"


def _missing(tried: Tried, compared: Tried, shown: set[str]) -> Iterable[str]:
    if not any(t.attempts for _, t in tried):
        yield "nothing was tried from where a worker of the job runs"
    if not any(t.attempts for _, t in compared):
        yield "nothing was tried from the node itself"
    unseen = sorted({a for _, t in compared for a in t.attempts} - shown)
    if unseen:
        yield f"from the node itself, nobody saw {listing(unseen)}"
    for _, each in tried:
        # The control stands for these attempts only where it made as many.
        if len(each.attempts) < max((len(t.attempts) for _, t in compared), default=0):
            yield f"from {each.place}, {count(len(each.attempts), 'attempt')} only"
