"""serve.reachable and serve.private of a job that Consul's catalogue knows."""

from dataclasses import replace

import pytest

from harness.claims.registered import REGISTERED
from harness.claims.verdict import Outcome
from harness.ledger.episodes import AS_IT_STANDS
from harness.ledger.facts import AttemptSeen, CatalogueSeen, CheckSeen, RegisteredService, Way
from tests.claims.build import Story, attempt, expecting, facts, good

NAME = "app.tailnet.test"
PASSING = CheckSeen("alive", "passing", "all well")
SERVICE = RegisteredService("alloc-1", "app", NAME, 80, (PASSING,))
REACHABLE, PRIVATE = "serve.reachable", "serve.private"
KNOWN = expecting(registered=("app",))


def look(*services: RegisteredService, names: tuple[str, ...] = ("app", "consul")) -> CatalogueSeen:
    return CatalogueSeen(names, services)


def tried(by: str, **more: object) -> AttemptSeen:
    """Somebody outside follows the catalogue."""
    told = {"way": Way.DIRECT, "target": f"http://{NAME}:80/", "error": "could not resolve", **more}
    return attempt(by, 80, 0, REGISTERED, **told)


def story(*seen: CatalogueSeen) -> Story:
    """A good run whose client asked by the registered name, and whose outsiders followed the catalogue."""
    by_name = [
        attempt("client", 80, 1, named, target=f"http://{host}/")
        for named, host in (("full name", NAME), ("short name", "app"))
    ]
    return (
        good()
        .drop(AttemptSeen, AS_IT_STANDS, lambda a: a.by == "client" and a.promise == 1)
        .add(AS_IT_STANDS, *by_name, *seen, tried("outsider"), tried("neighbour"))
    )


def test_a_catalogue_that_leads_to_what_is_served() -> None:
    verdict = story(look(SERVICE)).verdict(REACHABLE, KNOWN)
    assert verdict.outcome is Outcome.PROVEN
    assert f"The catalogue says app at {NAME}:80, every check passing" in verdict.reason
    assert look(SERVICE) in facts(verdict.evidence)


def test_who_registers_nothing_is_not_asked_for_it() -> None:
    assert good().verdict(REACHABLE).outcome is Outcome.PROVEN
    assert good().verdict(PRIVATE).outcome is Outcome.PROVEN


@pytest.mark.parametrize(
    ("services", "said"),
    [
        ((), "the catalogue does not know app"),
        ((replace(SERVICE, name="other"),), "the catalogue does not know app"),
        ((replace(SERVICE, checks=()),), "app has no check"),
        (
            (replace(SERVICE, checks=(PASSING, CheckSeen("alive", "critical", "exit code 2"))),),
            "the check alive of app is critical: exit code 2",
        ),
        ((replace(SERVICE, address="203.0.113.10"),), "app is registered at 203.0.113.10:80, where client"),
        ((replace(SERVICE, port=8080),), f"app is registered at {NAME}:8080, where client"),
        ((SERVICE, replace(SERVICE, address="10.20.0.10")), "app is registered at 10.20.0.10:80"),
    ],
)
def test_a_catalogue_that_leads_astray_refutes(services: tuple[RegisteredService, ...], said: str) -> None:
    verdict = story(look(*services)).verdict(REACHABLE, KNOWN)
    assert verdict.outcome is Outcome.REFUTED
    assert said in verdict.reason


def test_the_last_look_counts() -> None:
    starting = look(replace(SERVICE, checks=(CheckSeen("alive", "critical", ""),)))
    assert story(starting, look(SERVICE)).verdict(REACHABLE, KNOWN).outcome is Outcome.PROVEN
    assert story(look(SERVICE), starting).verdict(REACHABLE, KNOWN).outcome is Outcome.REFUTED


def test_a_blind_look_proves_nothing() -> None:
    assert story().verdict(REACHABLE, KNOWN).outcome is Outcome.UNPROVEN
    assert story(look(SERVICE, names=())).verdict(REACHABLE, KNOWN).outcome is Outcome.UNPROVEN


def test_an_address_that_was_only_tried_another_way_does_not_count() -> None:
    at_another = attempt("client", 8080, 1, "tailnet address", target=f"http://{NAME}:8080/ at 100.64.0.9")
    wrong = look(replace(SERVICE, port=8080))
    assert story(wrong).add(AS_IT_STANDS, at_another).verdict(REACHABLE, KNOWN).outcome is Outcome.REFUTED


def test_those_outside_got_nowhere() -> None:
    verdict = story(look(SERVICE)).verdict(PRIVATE, KNOWN)
    assert verdict.outcome is Outcome.PROVEN
    assert tried("outsider") in facts(verdict.evidence)


def test_a_registered_address_that_answers_outside_refutes() -> None:
    open_door = tried("neighbour", connected=True, status=200)
    verdict = story(look(SERVICE)).add(AS_IT_STANDS, open_door).verdict(PRIVATE, KNOWN)
    assert verdict.outcome is Outcome.REFUTED
    assert f"http://{NAME}:80/ by neighbour" in verdict.reason


def test_a_registered_address_that_was_not_tried_is_not_proven() -> None:
    for other in (replace(SERVICE, port=443), replace(SERVICE, address="192.0.2.1")):
        assert story(look(other)).verdict(PRIVATE, KNOWN).outcome is Outcome.UNPROVEN
    assert story().verdict(PRIVATE, KNOWN).outcome is Outcome.UNPROVEN
    assert story(look()).verdict(PRIVATE, KNOWN).outcome is Outcome.UNPROVEN
