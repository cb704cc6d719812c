"""serve.*: who was let in, who was not, and whether the asking could have shown it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.claims.verdict import Outcome, Served
from harness.ledger.episodes import AS_IT_STANDS
from harness.ledger.facts import AttemptSeen, PageSeen, PortsHeld, ServeSeen, Way
from tests.claims.build import (
    BACKEND_PORTS,
    NODE4,
    NODE6,
    NODE_LAN,
    Story,
    attempt,
    expecting,
    facts,
    good,
    outside,
)

REACHABLE, DENIED, PRIVATE = "serve.reachable", "serve.denied_to_strangers", "serve.private"


def replaced(where: Callable[[AttemptSeen], bool], *instead: AttemptSeen) -> Story:
    return good().drop(AttemptSeen, AS_IT_STANDS, where).add(AS_IT_STANDS, *instead)


def by(host: str, promise: int, named: str = "full name") -> Callable[[AttemptSeen], bool]:
    return lambda a: (a.by, a.promise, a.named) == (host, promise, named)


# -- reachable


@pytest.mark.parametrize("named", ["full name", "short name"])
@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"status": 404}, "answered 404 instead of 200"),
        ({"status": 502, "body": "hello"}, "answered 502"),
        ({"body": "goodbye"}, "does not contain 'hello'"),
        (
            {"connected": False, "status": 0, "error": "refused", "tries": 3},
            "no connection in 3 tries (refused)",
        ),
        ({"status": 0, "body": "", "error": "empty reply"}, "no HTTP answer (empty reply)"),
    ],
)
def test_one_promise_that_is_not_kept_refutes(broken: dict[str, object], said: str, named: str) -> None:
    worse = replace(attempt("client", named=named), **broken)  # type: ignore[arg-type] # fields by name
    verdict = replaced(by("client", 1, named), worse).verdict(REACHABLE)
    assert verdict.outcome is Outcome.REFUTED
    assert said in verdict.reason
    assert facts(verdict.evidence) == [worse]


def test_bare_tcp_is_judged_by_what_it_answers() -> None:
    silent = attempt("client", 6379, 2, body="")
    assert replaced(by("client", 2), silent).verdict(REACHABLE).outcome is Outcome.REFUTED
    asked_again = attempt("client", 6379, 2, tries=2)
    verdict = replaced(by("client", 2), asked_again).verdict(REACHABLE)
    assert verdict.outcome is Outcome.PROVEN
    assert "1 connection tried again" in verdict.reason


def test_the_backends_own_port_is_reached_without_any_serve() -> None:
    verdict = good().add(AS_IT_STANDS, PortsHeld("alloc-1", (80,))).verdict(REACHABLE)
    assert verdict.outcome is Outcome.REFUTED
    assert "needs no Serve" in verdict.reason


@pytest.mark.parametrize("promise", [1, 2])
@pytest.mark.parametrize("named", ["full name", "short name"])
def test_what_was_not_asked_for_is_not_proven(promise: int, named: str) -> None:
    assert replaced(by("client", promise, named)).verdict(REACHABLE).outcome is Outcome.UNPROVEN


@pytest.mark.parametrize(
    "served", [Served("https://{host}/", 200, "hello"), Served("http://{host}/", 200, "hello", "svc:mine")]
)
def test_neither_a_certificate_nor_a_service_has_a_short_name(served: Served) -> None:
    expectation = expecting(serve=(served,))
    story = replaced(by("client", 1, "short name"))
    assert story.verdict(REACHABLE, expectation).outcome is Outcome.PROVEN


def test_nobody_elses_answer_counts() -> None:
    story = replaced(lambda a: a.by == "client" and a.promise == 1, attempt("stranger", connected=True))
    assert story.verdict(REACHABLE).outcome is Outcome.UNPROVEN


def page(title: str, text: str) -> PageSeen:
    return PageSeen("client", "http://app.tailnet.test/", 1, title, text, "app-page-1.png")


def test_a_page_that_a_browser_shows_is_evidence() -> None:
    verdict = good().add(AS_IT_STANDS, page("App", "well, hello there")).verdict(REACHABLE)
    assert verdict.outcome is Outcome.PROVEN
    assert "a browser showed 1 page of it" in verdict.reason
    assert any(isinstance(o.fact, PageSeen) for o in verdict.evidence)


def test_a_page_that_a_browser_refuses_is_not_reachable() -> None:
    warning = page("Privacy error", "Your connection is not private")
    verdict = good().add(AS_IT_STANDS, warning).verdict(REACHABLE)
    assert verdict.outcome is Outcome.REFUTED
    assert "a browser shows Privacy error instead" in verdict.reason


def test_a_page_of_which_a_browser_shows_nothing_is_not_reachable() -> None:
    verdict = good().add(AS_IT_STANDS, page("", "")).verdict(REACHABLE)
    assert verdict.outcome is Outcome.REFUTED
    assert "a browser shows nothing instead" in verdict.reason


def test_markup_is_no_part_of_what_a_page_shows() -> None:
    expectation = expecting(serve=(Served("http://{host}/", 200, "<h1>hello</h1>"),))
    story = good().add(AS_IT_STANDS, page("App", "hello"))
    reason = story.verdict(REACHABLE, expectation).reason
    assert "a browser shows" not in reason


# -- denied to strangers


@pytest.mark.parametrize("named", ["full name", "short name", "tailnet address"])
@pytest.mark.parametrize("promise", [1, 2])
def test_a_stranger_with_any_connection_refutes(promise: int, named: str) -> None:
    let_in = attempt("stranger", 80, promise, named, connected=True, status=403)
    verdict = replaced(by("stranger", promise, named), let_in).verdict(DENIED)
    assert verdict.outcome is Outcome.REFUTED
    assert "answered 403" in verdict.reason
    assert facts(verdict.evidence) == [let_in]


@pytest.mark.parametrize(
    "without",
    [
        lambda a: a.by == "stranger" and a.control,
        lambda a: a.by == "stranger" and a.promise == 2,
        lambda a: a.by == "client" and a.promise == 1,
    ],
    ids=["no noticeboard", "not asked for", "not there for the client either"],
)
def test_a_stranger_that_shows_nothing_proves_nothing(without: Callable[[AttemptSeen], bool]) -> None:
    assert replaced(without).verdict(DENIED).outcome is Outcome.UNPROVEN


def test_a_noticeboard_that_did_not_answer_is_no_control() -> None:
    story = replaced(
        lambda a: a.by == "stranger" and a.control,
        attempt("stranger", 80, 0, control=True, connected=False),
    )
    assert story.verdict(DENIED).outcome is Outcome.UNPROVEN


# -- private


@pytest.mark.parametrize("host", ["outsider", "neighbour", "stranger"])
@pytest.mark.parametrize("address", [NODE4, NODE6, NODE_LAN])
@pytest.mark.parametrize("port", [80, 6379, BACKEND_PORTS[0]])
def test_any_connection_from_outside_refutes(host: str, address: str, port: int) -> None:
    got = outside(host, address, port, connected=True)
    verdict = good().add(AS_IT_STANDS, got).verdict(PRIVATE)
    assert verdict.outcome is Outcome.REFUTED
    assert f"{address}:{port} by {host}" in verdict.reason
    assert facts(verdict.evidence) == [got]


@pytest.mark.parametrize(
    "without",
    [
        lambda a: a.by == "neighbour",
        lambda a: a.named == NODE6,
        lambda a: a.way is Way.DIRECT and a.port == BACKEND_PORTS[1],
        lambda a: a.way is Way.DIRECT and a.control and (a.by, a.named) == ("outsider", NODE_LAN),
        lambda a: a.way is Way.LOOPBACK,
        lambda a: a.way is Way.LOOPBACK and a.connected,
        lambda a: a.by == "client",
    ],
    ids=["host", "address", "port", "control", "loopback", "backend alive", "client"],
)
def test_what_was_not_tried_or_not_shown_is_not_proven(without: Callable[[AttemptSeen], bool]) -> None:
    assert replaced(without).verdict(PRIVATE).outcome is Outcome.UNPROVEN


def test_with_nobody_outside_nothing_is_proven() -> None:
    assert good().verdict(PRIVATE, expecting(outside=frozenset())).outcome is Outcome.UNPROVEN


def test_funnel_refutes_that_it_is_private() -> None:
    verdict = good().add(AS_IT_STANDS, ServeSeen("alloc-2", ("web.tailnet.test:443",))).verdict(PRIVATE)
    assert verdict.outcome is Outcome.REFUTED
    assert "Funnel is on: the whole internet may reach web.tailnet.test:443" in verdict.reason


def test_who_was_not_asked_for_funnel_is_not_proven_private() -> None:
    verdict = good().drop(ServeSeen).verdict(PRIVATE)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "whether Funnel is on" in verdict.reason


SEALED = expecting(sealed=frozenset({"web"}))
IN_PLACE = attempt("node", 8080, 0, "web-alloc-1", way=Way.LOOPBACK, connected=True)


def test_a_sealed_backend_is_alive_where_it_answers_in_its_own_network() -> None:
    verdict = good().add(AS_IT_STANDS, IN_PLACE).verdict(PRIVATE, SEALED)
    assert verdict.outcome is Outcome.PROVEN
    assert "in its own network" in verdict.reason
    assert IN_PLACE in facts(verdict.controls)


@pytest.mark.parametrize(
    "other",
    [
        (),
        (replace(IN_PLACE, connected=False),),
        (replace(IN_PLACE, named="web-alloc-2"),),
        (replace(IN_PLACE, named="relay-alloc-1"),),
    ],
    ids=["the check alone", "it refuses", "another allocation's", "another task's"],
)
def test_the_way_to_a_check_is_no_backend_of_a_sealed_job(other: tuple[AttemptSeen, ...]) -> None:
    verdict = good().add(AS_IT_STANDS, *other).verdict(PRIVATE, SEALED)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "in its own network" in verdict.reason
