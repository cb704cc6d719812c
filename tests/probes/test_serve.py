"""What is asked for a promise of smoke.toml, and what curl's words come to."""

from dataclasses import replace

import pytest

from harness.job.example import ServePromise
from harness.ledger.facts import AttemptSeen, TailnetNode, Way
from harness.probes.asking import Ask, attempt_of
from harness.probes.curling import Curled
from harness.probes.serve import answered, of_promise

NODE = TailnetNode(
    "7", "app", ("100.64.0.7", "fd7a:115c:a1e0::7"), ("tag:x",), "", ephemeral=True, online=True
)
SECOND = TailnetNode("8", "app-1", ("100.64.0.8",), ("tag:x",), "", ephemeral=True, online=True)


def asked(promise: ServePromise, *nodes: TailnetNode) -> list[tuple[str, str, str, int]]:
    return [(a.url, a.named, a.address, a.port) for a in of_promise(1, promise, nodes, "tailnet.test")]


def test_http_is_asked_for_by_both_names_and_every_address() -> None:
    assert asked(ServePromise(url="http://{host}/a"), NODE) == [
        ("http://app.tailnet.test/a", "full name", "", 80),
        ("http://app/a", "short name", "", 80),
        ("http://app.tailnet.test/a", "tailnet address", "100.64.0.7", 80),
        ("http://app.tailnet.test/a", "tailnet address", "fd7a:115c:a1e0::7", 80),
    ]


def test_https_has_a_certificate_for_the_full_name_alone() -> None:
    assert [(named, port) for _, named, _, port in asked(ServePromise(url="https://{host}/"), NODE)] == [
        ("full name", 443),
        ("tailnet address", 443),
        ("tailnet address", 443),
    ]


def test_bare_tcp_carries_what_it_sends_and_awaits() -> None:
    promise = ServePromise(tcp="{host}:6379", send="PING\r\n", contains="+PONG")
    (first, *_) = of_promise(3, promise, [NODE], "tailnet.test")
    assert first == Ask(
        Way.TAILNET, "tcp://app.tailnet.test:6379", "full name", 6379, 3, send="PING\r\n", awaits="+PONG"
    )
    assert first.bare


def test_a_service_has_a_name_of_its_own_whoever_hosts_it() -> None:
    promise = ServePromise(url="http://{host}:8080/", service="svc:docs")
    assert asked(promise, NODE, SECOND) == [("http://docs.tailnet.test:8080/", "full name", "", 8080)]


def test_each_node_is_asked() -> None:
    found = asked(ServePromise(url="http://{host}/"), NODE, SECOND)
    assert {url for url, *_ in found} >= {"http://app.tailnet.test/", "http://app-1.tailnet.test/"}


def test_with_no_node_there_is_nothing_to_ask() -> None:
    assert asked(ServePromise(url="http://{host}/")) == []


def came_back(ask: Ask, *, connected: bool, body: str) -> bool:
    seen = AttemptSeen(
        by="client",
        way=Way.TAILNET,
        target=ask.url,
        named=ask.named,
        port=ask.port,
        promise=1,
        connected=connected,
        status=0,
        headers=(),
        body=body,
        error="",
    )
    return answered(ask, seen)


def test_over_bare_tcp_silence_is_no_answer_where_one_is_awaited() -> None:
    silent = Ask(Way.TAILNET, "tcp://app:6379", "short name", 6379, 1)
    speaks = replace(silent, send="PING", awaits="+PONG")
    over_http = replace(speaks, url="http://app:6379/")
    for ask in (silent, speaks, over_http):
        assert not came_back(ask, connected=False, body="")
        # Whatever it says, it is an answer, and for a claim to judge.
        assert came_back(ask, connected=True, body="-ERR")
    assert not came_back(speaks, connected=True, body="")
    assert came_back(silent, connected=True, body="")
    assert came_back(over_http, connected=True, body="")


def curled(
    code: int = 0, status: int = 0, tcp: float = 0, ready: float = 0, *, content: str = "", said: str = ""
) -> Curled:
    return Curled(content, str(code), f"{status:03}", f"{tcp:.6f}", f"{ready:.6f}", said)


@pytest.mark.parametrize(
    ("way", "came", "connected"),
    [
        (Way.TAILNET, curled(0, 200, 0.001, 0.01), True),
        (Way.TAILNET, curled(97, tcp=0.001), False),
        (Way.TAILNET, curled(28, tcp=0.001), False),
        (Way.TAILNET, curled(28, tcp=0.001, ready=0.01), True),
        (Way.TAILNET, curled(60, tcp=0.001), True),
        (Way.TAILNET, curled(35, tcp=0.001), True),
        (Way.DIRECT, curled(7), False),
        (Way.DIRECT, curled(28), False),
        (Way.DIRECT, curled(6), False),
        (Way.DIRECT, curled(28, tcp=0.001), True),
        (Way.DIRECT, curled(52, tcp=0.001, ready=0.001), True),
        (Way.DIRECT, curled(1, tcp=0.001), True),
        (Way.DIRECT, curled(56), True),
        (Way.LOOPBACK, curled(7), False),
        (Way.LOOPBACK, curled(0, 200, 0.001, 0.001), True),
    ],
)
def test_whether_anything_took_the_connection(way: Way, came: Curled, connected: bool) -> None:
    asked_for = Ask(way, "http://app/", "short name", 80, 1)
    assert attempt_of("client", asked_for, came).connected is connected


def test_an_answer_is_taken_apart() -> None:
    content = "HTTP/1.1 200 OK\r\nServer: x\r\nA: b\r\n\r\nbody\r\n\r\nmore"
    attempt = attempt_of(
        "client", Ask(Way.TAILNET, "http://app/", "full name", 80, 1), curled(0, 200, 1, 1, content=content)
    )
    assert (attempt.status, attempt.headers, attempt.body) == (200, ("Server: x", "A: b"), "body\n\nmore")


def test_what_is_no_http_is_all_body() -> None:
    asked_for = Ask(Way.DIRECT, "http://203.0.113.10:22/", "203.0.113.10", 22)
    attempt = attempt_of(
        "outsider", asked_for, curled(1, 0, 0.1, 0.1, content="SSH-2.0-x\n\nmore", said="HTTP/0.9")
    )
    assert (attempt.status, attempt.body, attempt.error) == (0, "SSH-2.0-x\n\nmore", "HTTP/0.9")
