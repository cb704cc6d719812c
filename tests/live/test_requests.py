"""Which requests, of all that a public observer sees, are whose."""

from harness.lab.echo_book import EchoLine
from harness.ledger.facts import RequestSeen
from harness.live.requests import WITNESS, of_job, of_witness

ALLOCATION = "12345678-aaaa-bbbb-cccc-1234567890ab"
NODE = {"203.0.113.10"}


def line(peer: str, named: str = "", agent: str = "", target: str = "GET /") -> EchoLine:
    return EchoLine(1, 0.0, peer, RequestSeen("http", peer, 1, "198.51.100.1", named, agent, target))


def test_those_that_name_an_allocation() -> None:
    named = [line("203.0.113.4", named="12345678-1"), line("203.0.113.4", agent="worker/1 (12345678)")]
    others = [line("203.0.113.4", named="87654321-1"), line("192.0.2.1", agent="a bot")]
    assert of_job([*named, *others], [ALLOCATION], NODE) == [n.request for n in named]


def test_whatever_comes_from_the_client_itself_counts() -> None:
    nameless = line("203.0.113.10")
    assert of_job([nameless], [ALLOCATION], NODE) == [nameless.request]


def test_but_not_what_witnesses_send_of_this_run_or_another() -> None:
    sent = line("203.0.113.10", named=f"{WITNESS}20261129-110000-abcd-egress-worker-0")
    assert of_job([sent], [ALLOCATION], NODE) == []
    assert of_witness([sent, line("203.0.113.10")], sent.request.token) == [sent.request]
