"""What a live site shows, and what it cannot: which claims nobody can prove there, and why. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.claims import catalogue
from harness.claims.catalogue import Claim
from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.job.example import Smoke
from harness.ledger.ledger import History

_IN_A_LAB = "the lab shows it: pytest scenarios --site lab"


@dataclass(frozen=True)
class Sight:
    """Who looks, on this site."""

    observer: bool = False
    """Somebody outside, who sees who comes and can try to get in."""
    listed: bool = False
    """The control server's list of nodes."""
    client: bool = False
    stranger: bool = False
    services: bool = False
    """Whether the control server knows Tailscale Services."""
    consul: bool = False
    """Consul's catalogue."""


_NO_OBSERVER = (
    "only who is asked knows who came; OBSERVER_URL, a container on any public host (docker/observer), "
    "would show it"
)
_NO_LIST = "only the control server knows its nodes; HEADSCALE_API_KEY or TAILSCALE_API_KEY would show them"


def _address(sight: Sight) -> str:
    return "" if sight.observer else _NO_OBSERVER


def _guard(sight: Sight) -> str:
    return _address(sight) or _identity(sight)


def _identity(sight: Sight) -> str:
    return "" if sight.listed else _NO_LIST


def _reachable(sight: Sight) -> str:
    return "" if sight.client else "nobody here may ask; TAILNET_CLIENT says who may"


def _denied(sight: Sight) -> str:
    if not sight.client:
        return _reachable(sight)
    return (
        ""
        if sight.stranger
        else "nobody here may not; TAILNET_STRANGER and TAILNET_NOTICE_URL say who that is"
    )


def _private(sight: Sight) -> str:
    if sight.observer:
        return _reachable(sight)
    return "nobody here is outside; OBSERVER_URL, a container on any public host (docker/observer), would be"


def _never(why: str) -> Callable[[Sight], str]:
    return lambda _: f"{why}; {_IN_A_LAB}"


_LIMITS: Mapping[str, Callable[[Sight], str]] = {
    "egress.address": _address,
    "egress.no_direct_packets": _never("only a router in front of the client sees every packet of it"),
    "egress.dns": _never("only the client's own resolver knows what it was asked"),
    "egress.guard_holds": _guard,
    "egress.fallback": _never(
        "an exit node would have to be taken away, and this run changes nothing of yours"
    ),
    "egress.confined": _never(
        "it takes attempts as root in the worker's network, with every observer of them"
    ),
    "serve.reachable": _reachable,
    "serve.denied_to_strangers": _denied,
    "serve.private": _private,
    "ports.none_public": _never("it takes the client's sockets, its engine, and a scan of every port of it"),
    "identity.tagged": _identity,
    "identity.removed_after_stop": _identity,
    "secrets.not_exposed": _never(
        "process lists, the engine, and the control server's log are closed to who may run jobs"
    ),
}


def limit(claim: str, sight: Sight) -> str:
    """Why nobody on this site can prove a claim, and what would help; empty where somebody can.

    Raises KeyError for a claim of which nothing is said here, lest it be passed over.
    """
    return _LIMITS[claim](sight)


def not_run(smoke: Smoke, sight: Sight) -> str:
    """Why an example cannot run on this site at all; empty where it can."""
    if any(promise.service for promise in smoke.serve) and not sight.services:
        return "the control server has no Tailscale Services, by which alone this job is reached"
    return ""


def judge(claim: Claim, history: History, expectation: Expectation, why_not: str) -> Verdict:
    """Judge a claim by what was seen here.

    Args:
        claim: the claim.
        history: what was observed of the example.
        expectation: what it promises, and where things are.
        why_not: why nobody here can prove it; empty where somebody can.

    Returns:
        The verdict. What nobody here can prove can still be refuted, by what was seen.

    Raises:
        LabError: an observer failed, dropped, or was never closed.
    """
    if not why_not:
        return catalogue.judge(claim, history, expectation)
    ordered = History(tuple(sorted(history.observations, key=lambda o: o.number)))
    found = claim.judge(ordered.episode(*claim.episodes), expectation)
    if found.outcome is Outcome.REFUTED:
        return found
    return Verdict(Outcome.UNPROVEN, f"Not to be seen here: {why_not}.", found.evidence, found.controls)
