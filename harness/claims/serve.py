"""`serve.*`: who may reach what a job serves does so, by its names; nobody else does, from nowhere."""

import re
from collections.abc import Iterable

from harness.claims.verdict import Expectation, Outcome, Served, Verdict
from harness.claims.wording import count, listing
from harness.lab.topology import CLIENT, STRANGER
from harness.ledger.facts import AttemptSeen, PageSeen, PortsHeld, ServeSeen, Way
from harness.ledger.ledger import History, Observation

FULL_NAME, SHORT_NAME = "full name", "short name"
_TAG = re.compile(r"<[^>]*>")

Attempts = list[tuple[Observation, AttemptSeen]]


def reachable(history: History, expectation: Expectation) -> Verdict:
    """Judge whether every promise of smoke.toml was kept to the one who may ask: the client.

    Args:
        history: episode as-it-stands.
        expectation: what is served, and how it answers.

    Returns:
        Refuted by a promise that was not answered, or answered otherwise, by full or by short name; by a page
        that a browser does not show, such as for want of a certificate; and by
        a serve port that is the backend's own, which userspace tailscaled forwards without any Serve.
        Unproven when one was not asked for.
    """
    attempts = _by(history, CLIENT, Way.TAILNET)
    held = {port for _, seen in history.of(PortsHeld) for port in seen.ports}
    evidence: list[Observation] = []
    faults: list[str] = []
    missing: list[str] = [] if expectation.serve else ["nothing is promised"]
    against: list[Observation] = []
    looked = history.of(PageSeen)
    pages: list[Observation] = []
    for number, served in enumerate(expectation.serve, 1):
        for observation, page in looked:
            if page.promise == number:
                pages.append(observation)
                if not _shows(page, served):
                    faults.append(
                        f"{page.target}: a browser shows {page.title or page.text or 'nothing'} instead"
                    )
                    against.append(observation)
        for name in (FULL_NAME, SHORT_NAME) if served.by_short_name else (FULL_NAME,):
            asked = [(o, a) for o, a in attempts if a.promise == number and a.named == name]
            if not asked:
                missing.append(f"{served.pattern} was not asked for by {name}")
            for observation, attempt in asked:
                evidence.append(observation)
                fault = _broken(attempt, served)
                if not fault and attempt.port in held:
                    fault = (
                        f"its port {attempt.port} is the backend's own, which needs no Serve to be reached"
                    )
                if fault:
                    faults.append(f"{attempt.target}: {fault}")
                    against.append(observation)
    controls = tuple(o for o, a in attempts if a.control and a.connected)
    if faults:
        return Verdict(Outcome.REFUTED, f"{listing(faults, '; ')}.", tuple(against), controls)
    if missing:
        return Verdict(Outcome.UNPROVEN, f"Not shown: {listing(missing, '; ')}.", tuple(evidence), controls)
    again = sum(a.tries > 1 for _, a in attempts)
    return Verdict(
        Outcome.PROVEN,
        f"{CLIENT} was answered as promised, {count(len(evidence), 'time')} of {len(evidence)}: "
        f"{listing(dict.fromkeys(a.target for _, a in attempts if a.promise))}"
        + (f" ({count(again, 'connection')} tried again)" if again else "")
        + (f"; a browser showed {count(len(pages), 'page')} of it" if pages else "")
        + ".",
        (*evidence, *pages),
        controls,
    )


def denied_to_strangers(history: History, expectation: Expectation) -> Verdict:
    """Judge whether a member of the tailnet that may not, cannot.

    Args:
        history: episode as-it-stands.
        expectation: what is served.

    Returns:
        Refuted by any connection that the stranger got, by name or by tailnet address. Unproven when a
        promise was not asked for by it, when it was not shown to reach the noticeboard by the same command,
        or when the client did not reach the promise either.
    """
    attempts = _by(history, STRANGER, Way.TAILNET)
    controls = tuple(o for o, a in attempts if a.control and a.connected)
    let_in = [(o, a) for o, a in attempts if a.promise and a.connected]
    if let_in:
        return Verdict(
            Outcome.REFUTED,
            f"{STRANGER} was let in: {_answers(a for _, a in let_in)}.",
            tuple(o for o, _ in let_in),
            controls,
        )
    evidence = tuple(o for o, a in attempts if a.promise)
    client = [(o, a) for o, a in _by(history, CLIENT, Way.TAILNET) if a.promise and a.connected]
    missing = [] if expectation.serve else ["nothing is promised"]
    for number, served in enumerate(expectation.serve, 1):
        if not any(a.promise == number for _, a in attempts):
            missing.append(f"{STRANGER} did not ask for {served.pattern}")
        if not any(a.promise == number for _, a in client):
            missing.append(f"{served.pattern} was not there for {CLIENT} either")
    if not controls:
        missing.append(f"{STRANGER} did not reach the noticeboard, so its asking shows nothing")
    if missing:
        return Verdict(Outcome.UNPROVEN, f"Not shown: {listing(missing, '; ')}.", evidence, controls)
    return Verdict(
        Outcome.PROVEN,
        f"{STRANGER} asked {count(len(evidence), 'time')}, by names and tailnet addresses, and got no "
        f"connection, while it reached the noticeboard and {CLIENT} reached all.",
        evidence,
        (*controls, *(o for o, _ in client)),
    )


def private(history: History, expectation: Expectation) -> Verdict:
    """Judge whether what is served can be reached from outside of the tailnet.

    Args:
        history: episode as-it-stands.
        expectation: the node's addresses, and the hosts that are in no tailnet.

    Returns:
        Refuted by a connection from outside to any port that is served or that the job was given, on any
        address of the node, and by Funnel, for which the lab's internet has no servers. Unproven when an
        address or port was not tried by a host, when that host was not shown to reach the node at that
        address, when tailscaled was not asked for Funnel, or when no backend was shown alive.
    """
    attempts = [(o, a) for o, a in history.of(AttemptSeen) if a.way is Way.DIRECT]
    held = {port for _, seen in history.of(PortsHeld) for port in seen.ports}
    allocations = {a for _, seen in history.of(PortsHeld) for a in seen.allocation.split(",")}
    places = {f"{task}-{allocation}" for task in expectation.sealed for allocation in allocations}
    served = {a.port for _, a in history.of(AttemptSeen) if a.way is Way.TAILNET and a.promise}
    controls = tuple(o for o, a in attempts if a.control and a.connected)
    reached = [(o, a) for o, a in attempts if not a.control and a.connected]
    configured = history.of(ServeSeen)
    if funnel := [(o, seen) for o, seen in configured if seen.funnel]:
        open_to_all = listing(sorted({at for _, seen in funnel for at in seen.funnel}))
        return Verdict(
            Outcome.REFUTED,
            f"Funnel is on: the whole internet may reach {open_to_all} by Tailscale's own servers.",
            tuple(o for o, _ in funnel),
            controls,
        )
    if reached:
        return Verdict(
            Outcome.REFUTED,
            f"Reached from outside of the tailnet: {_answers(a for _, a in reached)}.",
            tuple(o for o, _ in reached),
            controls,
        )
    evidence = tuple(o for o, a in attempts if not a.control)
    tried = {(a.by, a.named, a.port) for _, a in attempts if not a.control}
    shown = {(a.by, a.named) for _, a in attempts if a.control and a.connected}
    missing = [
        f"{host} was not shown to reach {expectation.node.name} at {address}"
        for host in sorted(expectation.outside)
        for address in sorted(expectation.node.addresses)
        if (host, address) not in shown
    ]
    missing += [
        f"{host} did not try {address} port {port}"
        for host in sorted(expectation.outside)
        for address in sorted(expectation.node.addresses)
        for port in sorted(held | served)
        if (host, address, port) not in tried
    ]
    if not expectation.outside or not served:
        missing.append("nobody asked for what is served" if expectation.outside else "no host is outside")
    node = expectation.node.name
    where = "in its own network" if expectation.sealed else "on the node itself"
    alive = tuple(
        o
        for o, a in history.of(AttemptSeen)
        # On the node there is only the way to a sealed job's health check, which is none of its backends.
        if a.way is Way.LOOPBACK and a.connected and (a.named in places or not expectation.sealed)
    )
    if not configured:
        missing.append("tailscaled was not asked whether Funnel is on")
    if not alive:
        missing.append(f"no backend was shown alive {where}")
    if not any(a.promise and a.connected for _, a in _by(history, CLIENT, Way.TAILNET)):
        missing.append(f"{CLIENT} did not reach it by the tailnet either")
    if missing:
        return Verdict(Outcome.UNPROVEN, f"Not shown: {listing(missing, '; ')}.", evidence, controls)
    return Verdict(
        Outcome.PROVEN,
        f"{listing(sorted(expectation.outside))} tried {count(len({p for _, _, p in tried}), 'port')} on "
        f"{count(len(expectation.node.addresses), 'address', 'addresses')} of {node} and got "
        f"no connection, while they reached the control listener on each, and the backend answered {where}.",
        (*evidence, *(o for o, _ in configured)),
        (*controls, *alive),
    )


def _by(history: History, host: str, way: Way) -> Attempts:
    return [(o, a) for o, a in history.of(AttemptSeen) if a.by == host and a.way is way]


def _shows(page: PageSeen, served: Served) -> bool:
    """Whether a page shows, in words, what its answer was promised to contain."""
    words = " ".join(_TAG.sub(" ", served.contains).split())
    return words in f"{page.title} {page.text}"


def _broken(attempt: AttemptSeen, served: Served) -> str:
    """Say how an answer differs from what was promised; empty where it does not."""
    if not attempt.connected:
        return f"no connection in {count(attempt.tries, 'try', 'tries')} ({attempt.error or 'no answer'})"
    if not served.bare and attempt.status != served.status:
        said = f"answered {attempt.status}" if attempt.status else f"no HTTP answer ({attempt.error})"
        return f"{said} instead of {served.status}"
    if served.contains not in attempt.body:
        return f"the answer does not contain {served.contains!r}"
    return ""


def _answers(attempts: Iterable[AttemptSeen]) -> str:
    return listing(
        dict.fromkeys(
            f"{a.target} by {a.by}" + (f" (answered {a.status})" if a.status else "") for a in attempts
        )
    )
