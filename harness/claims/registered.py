"""What Consul's catalogue says of a job belongs to what it serves: the half of `serve.*` about it. Pure.

For a job that registers nothing with Consul, these are the claims of `harness.claims.serve` as they are.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from harness.claims import serve
from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.claims.wording import listing
from harness.lab.topology import CLIENT
from harness.ledger.facts import AttemptSeen, CatalogueSeen, RegisteredService, Way
from harness.ledger.ledger import History, Observation

CONSUL = "consul"
"""The service that Consul registers for itself: who reads a catalogue without it has not read it."""
REGISTERED = "registered address"
"""How an attempt says that it was led by the catalogue."""

_Attempts = list[tuple[Observation, AttemptSeen]]


def reachable(history: History, expectation: Expectation) -> Verdict:
    """Judge `serve.reachable`, and whether the catalogue sends whoever asks it to just that.

    Args:
        history: episode as-it-stands.
        expectation: what is served, and which services are registered.

    Returns:
        Refuted also by a service that is not in the catalogue, has no check or one that does not pass, or is
        registered at an address and port at which the client was not answered. Unproven also when nobody
        read the catalogue.
    """
    verdict = serve.reachable(history, expectation)
    if not expectation.registered or verdict.outcome is Outcome.REFUTED:
        return verdict
    looks = history.of(CatalogueSeen)
    if not any(CONSUL in look.names for _, look in looks):
        return _joined(verdict, Outcome.UNPROVEN, "Not shown: the catalogue was not read.", looks)
    found = _last(looks)
    answered = [
        a
        for _, a in history.of(AttemptSeen)
        if a.by == CLIENT and a.way is Way.TAILNET and a.promise and a.connected
    ]
    faults = [
        f"the catalogue does not know {name}"
        for name in expectation.registered
        if name not in {service.name for service in found}
    ]
    faults += [fault for service in found if (fault := _fault(service, answered))]
    if faults:
        return _joined(verdict, Outcome.REFUTED, f"{listing(faults, '; ')}.", looks)
    told = listing(f"{s.name} at {s.address}:{s.port}" for s in found)
    return _joined(
        verdict, verdict.outcome, f"{verdict.reason} The catalogue says {told}, every check passing.", looks
    )


def private(history: History, expectation: Expectation) -> Verdict:
    """Judge `serve.private`, and whether those outside tried what the catalogue sends them to.

    Args:
        history: episode as-it-stands.
        expectation: the hosts that are in no tailnet, and which services are registered.

    Returns:
        Refuted also by a connection to a registered address; unproven also when one was not tried.
    """
    verdict = serve.private(history, expectation)
    if not expectation.registered or verdict.outcome is not Outcome.PROVEN:
        return verdict
    looks = history.of(CatalogueSeen)
    attempts: _Attempts = [(o, a) for o, a in history.of(AttemptSeen) if a.named == REGISTERED]
    tried = {(a.by, *_where(a)) for _, a in attempts}
    missing = [
        f"{host} did not try {service.address} port {service.port}, which the catalogue names"
        for host in sorted(expectation.outside)
        for service in _last(looks)
        if (host, service.address, service.port) not in tried
    ]
    if not _last(looks):
        missing.append("the catalogue was not read, or names nothing")
    if missing:
        return _joined(verdict, Outcome.UNPROVEN, f"Not shown: {listing(missing, '; ')}.", looks)
    return _joined(
        verdict,
        verdict.outcome,
        f"{verdict.reason} What the catalogue names led them nowhere.",
        [*looks, *attempts],
    )


def _last(looks: Sequence[tuple[Observation, CatalogueSeen]]) -> tuple[RegisteredService, ...]:
    return looks[-1][1].registered if looks else ()


def _fault(service: RegisteredService, answered: Sequence[AttemptSeen]) -> str:
    """Say what is wrong with one instance in the catalogue; empty where nothing is."""
    if not service.checks:
        return f"{service.name} has no check"
    for check in service.checks:
        if check.status != "passing":
            return f"the check {check.name} of {service.name} is {check.status}: {check.output.strip()[:200]}"
    if (service.address, service.port) not in {_where(attempt) for attempt in answered}:
        return (
            f"{service.name} is registered at {service.address}:{service.port}, "
            f"where {CLIENT} was not answered"
        )
    return ""


def _where(attempt: AttemptSeen) -> tuple[str, int]:
    """The host and port that were asked; an attempt at another address than its URL's is none of these."""
    host = urlsplit(attempt.target).hostname or ""
    return ("" if " at " in attempt.target else host, attempt.port)


def _joined(
    verdict: Verdict, outcome: Outcome, reason: str, more: Sequence[tuple[Observation, object]]
) -> Verdict:
    return Verdict(outcome, reason, (*verdict.evidence, *(o for o, _ in more)), verdict.controls)
