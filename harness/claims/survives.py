"""`egress.survives.<fault>`: whatever befalls the job, nothing leaves but by its exits. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.claims.befallen import Befallen, Fate, Stretch, Times, befallen
from harness.claims.lookups import Flows, asked_by_node, foreign_names, say_names
from harness.claims.packets import direct_flows
from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.claims.wording import count, listing
from harness.ledger.episodes import under
from harness.ledger.facts import RequestSeen, RequestSent
from harness.ledger.ledger import History, Observation

_LEAST_RATE = 20
"""Requests a second that must have been sent before, during and after (rules of proof, P4)."""


@dataclass(frozen=True)
class _Sent:
    """What was sent in one stretch of time, by the sender's word."""

    requests: tuple[RequestSent, ...]

    @property
    def answered(self) -> int:
        return sum(1 for r in self.requests if r.answer)

    @property
    def rate(self) -> float:
        span = self.requests[-1].began - self.requests[0].began
        return (len(self.requests) - 1) / span if span > 0 else 0.0


def survives(fault: str) -> Callable[[History, Expectation], Verdict]:
    """Give the judge of one fault.

    It takes the history of the fault's episode, its flow book closed, and gives a verdict: refuted by any
    request from another address than an allowed exit's, by any flow of the node that serves no allowed
    purpose, and by any name that only a direct look-up needs. Unproven when the fault was not shown to have
    happened, when nothing was answered before it, or when less than 20 requests a second were sent before,
    during or after.
    """

    def judge(history: History, expectation: Expectation) -> Verdict:
        return _judge(history.episode(under(fault)), expectation)

    return judge


def _judge(episode: History, expectation: Expectation) -> Verdict:
    fault = befallen(episode)
    told, times, happened = fault.told, fault.times, fault.what
    exits = expectation.via + expectation.fallback
    allowed = {a for host in exits for a in host.addresses}
    requests = episode.of(RequestSeen)
    foreign = [(o, r) for o, r in requests if r.peer not in allowed]
    direct = direct_flows(episode, expectation)
    names = foreign_names(asked_by_node(episode, expectation), expectation)
    if foreign or direct or names:
        evidence = tuple(o for o, _ in foreign) + tuple(o for o, _ in direct) + tuple(o for o, _ in names)
        faults = [*_leaks(foreign, times, expectation), *_attempts(direct, foreign, expectation)]
        if names:
            faults.append(f"{expectation.node.name} asked its own resolver for {say_names(names)}")
        return Verdict(Outcome.REFUTED, f"{Fate.LEAKED}: {happened}; {'; '.join(faults)}.", told + evidence)
    sent = [r for _, r in episode.of(RequestSent)]
    controls = tuple(o for o, r in requests if times and r.seen_at < times.injected)
    missing = list(_missing(fault, sent, controls))
    if times is None or missing:
        return Verdict(Outcome.UNPROVEN, f"Not shown: {listing(missing, '; ')}.", told, controls)
    before, during, after = (_begun(sent, s) for s in (times.before, times.during, times.after))
    # One that was answered when all was over had waited for it.
    meanwhile = any(r.answer and r.began + r.seconds < times.healed for r in during.requests)
    fate = Fate.HELD if meanwhile else Fate.STOPPED
    seen = listing(sorted({expectation.host_of(r.peer) for _, r in requests}))
    return Verdict(
        Outcome.PROVEN,
        f"{fate}: {happened}; all {count(len(requests), 'request')} that arrived came from {seen}; "
        f"answered were {_share(before)} before, {_share(during)} while it lasted, {_share(after)} after it.",
        told + tuple(o for o, _ in requests),
        controls,
    )


def _leaks(
    foreign: list[tuple[Observation, RequestSeen]], times: Times | None, expectation: Expectation
) -> Iterable[str]:
    if not foreign:
        return
    senders = Counter(r.peer for _, r in foreign)
    seen = sorted(r.seen_at for _, r in foreign)
    begun = f", the first {seen[0] - times.injected:.1f} s after it began" if times else ""
    by = listing(f"{expectation.host_of(a)} ({a}) {n}" for a, n in senders.most_common())
    yield (
        f"{count(len(foreign), 'request')} arrived directly within {seen[-1] - seen[0]:.1f} s{begun}, "
        f"from {by}"
    )


def _attempts(
    direct: Flows,
    foreign: list[tuple[Observation, RequestSeen]],
    expectation: Expectation,
) -> Iterable[str]:
    if not direct:
        return
    flows = [flow for _, flow in direct]
    places = Counter[str]()
    for flow in flows:
        places[f"{expectation.host_of(flow.destination)} {flow.protocol}/{flow.port}"] += flow.packets
    said = listing(f"{place} ({count(n, 'packet')})" for place, n in places.most_common())
    nothing = "" if foreign else ", none of which became a request"
    yield f"{expectation.node.name} sent packets directly to {said}{nothing}"


def _begun(sent: list[RequestSent], stretch: Stretch) -> _Sent:
    return _Sent(tuple(r for r in sent if stretch.holds(r.began)))


def _missing(fault: Befallen, sent: list[RequestSent], controls: tuple[Observation, ...]) -> Iterable[str]:
    yield from fault.missing
    times = fault.times
    if times is None:
        return
    if not controls:
        yield "no request arrived before it"
    for stretch in (times.before, times.during, times.after):
        begun = _begun(sent, stretch)
        if not begun.requests:
            yield f"nothing was sent {stretch.name}"
        elif begun.rate < _LEAST_RATE:
            yield f"only {begun.rate:.0f} requests a second were sent {stretch.name}"


def _share(sent: _Sent) -> str:
    return f"{sent.answered} of {len(sent.requests)}"
