"""Which claims nobody can prove on a live site, and what becomes of them."""

import pytest

from harness.claims.catalogue import CLAIMS
from harness.claims.verdict import Expectation, HostAddresses, Outcome
from harness.job.example import ServePromise
from harness.ledger.episodes import AS_IT_STANDS, CONTROL
from harness.ledger.facts import EpisodeEnded, FlowSeen, RequestSeen
from harness.ledger.ledger import History, Observation
from harness.live import sight
from harness.live.sight import Sight
from tests.live.build import example, serving

BY_ID = {claim.id: claim for claim in CLAIMS}
NEVER = {
    *("egress.no_direct_packets", "egress.dns", "egress.fallback", "egress.confined"),
    *("ports.none_public", "secrets.not_exposed"),
}
ALL = Sight(observer=True, listed=True, client=True, stranger=True, services=True, consul=True)
EXPECTATION = Expectation(
    subject="mine",
    tags=frozenset(),
    via=(HostAddresses("exit-a", frozenset({"203.0.113.4"})),),
    node=HostAddresses("the client", frozenset({"203.0.113.10"})),
)


def history(*facts: tuple[str, object]) -> History:
    return History(
        tuple(
            Observation(n, float(n), "observer", "mine", episode, fact)  # type: ignore[arg-type]
            for n, (episode, fact) in enumerate(facts, 1)
        )
    )


def request(peer: str) -> RequestSeen:
    return RequestSeen("http", peer, 1, "198.51.100.1", "12345678-1")


@pytest.mark.parametrize("claim", [claim.id for claim in CLAIMS])
def test_something_is_said_of_every_claim(claim: str) -> None:
    """With everybody who could look, and with nobody, of all claims; a new one must be thought of here."""
    assert bool(sight.limit(claim, ALL)) is (claim in NEVER)
    assert sight.limit(claim, Sight())


@pytest.mark.parametrize(
    ("claim", "lacking", "setting"),
    [
        ("egress.address", "observer", "OBSERVER_URL"),
        ("egress.guard_holds", "observer", "OBSERVER_URL"),
        ("egress.guard_holds", "listed", "HEADSCALE_API_KEY"),
        ("serve.reachable", "client", "TAILNET_CLIENT"),
        ("serve.denied_to_strangers", "stranger", "TAILNET_STRANGER"),
        ("serve.denied_to_strangers", "client", "TAILNET_CLIENT"),
        ("serve.private", "observer", "OBSERVER_URL"),
        ("identity.tagged", "listed", "TAILSCALE_API_KEY"),
        ("identity.removed_after_stop", "listed", "TAILSCALE_API_KEY"),
    ],
)
def test_what_would_make_it_provable_is_named(claim: str, lacking: str, setting: str) -> None:
    without = Sight(**{**vars(ALL), lacking: False})
    assert setting in sight.limit(claim, without)


def test_what_can_be_seen_is_judged_as_ever() -> None:
    seen = history(
        (CONTROL, request("203.0.113.10")),
        (CONTROL, EpisodeEnded(0, 1, "")),
        (AS_IT_STANDS, request("203.0.113.4")),
        (AS_IT_STANDS, EpisodeEnded(1, 2, "")),
    )
    assert sight.judge(BY_ID["egress.address"], seen, EXPECTATION, "").outcome is Outcome.PROVEN


def test_what_nobody_can_prove_is_unproven_with_the_reason() -> None:
    seen = history((AS_IT_STANDS, EpisodeEnded(1, 2, "")))
    verdict = sight.judge(BY_ID["egress.no_direct_packets"], seen, EXPECTATION, "nobody looks; the lab does")
    assert verdict.outcome is Outcome.UNPROVEN
    assert verdict.reason == "Not to be seen here: nobody looks; the lab does."


def test_what_nobody_can_prove_can_still_be_refuted() -> None:
    seen = history((AS_IT_STANDS, request("203.0.113.10")), (AS_IT_STANDS, EpisodeEnded(1, 2, "")))
    verdict = sight.judge(BY_ID["egress.address"], seen, EXPECTATION, "nobody looks")
    assert verdict.outcome is Outcome.REFUTED


def test_nothing_is_proven_by_what_nobody_could_prove() -> None:
    """Even where every fact is there, what is beyond sight stays unproven."""
    flow = FlowSeen("the client", "203.0.113.10", "198.51.100.10", "tcp", 443, 1, 1)
    seen = history((AS_IT_STANDS, flow), (AS_IT_STANDS, EpisodeEnded(1, 2, "")))
    for claim in CLAIMS:
        assert sight.judge(claim, seen, EXPECTATION, "why").outcome is not Outcome.PROVEN


def test_services_need_a_control_server_that_knows_them() -> None:
    service = serving(ServePromise(url="https://{host}/", service="svc:mine")).smoke
    assert "Tailscale Services" in sight.not_run(service, Sight())
    assert sight.not_run(service, ALL) == ""
    assert sight.not_run(example().smoke, Sight()) == ""
