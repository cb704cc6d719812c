"""Every kind of fact and every claim has words."""

from typing import get_args

import pytest

from harness.ledger import facts as f
from harness.ledger.ledger import Observation
from harness.report import claim_words
from harness.report.fact_words import clock, describe, observation_row, octets

NAMES = {"203.0.113.10": "node", "198.18.80.80": "echo"}

TOLD: list[tuple[f.Fact, str]] = [
    (
        f.RequestSeen("tcp", "203.0.113.10", 4, "198.18.80.80", ""),
        "tcp request from node (203.0.113.10), no token",
    ),
    (
        f.FlowSeen("node", "203.0.113.10", "198.18.80.80", "tcp", 443, 1, 1204),
        "node (203.0.113.10) → echo (198.18.80.80) tcp/443: 1 packet, 1.2 kB",
    ),
    (
        f.FlowSeen("node", "192.0.2.9", "198.18.80.80", "icmp", 0, 1204, 9),
        "192.0.2.9 → echo (198.18.80.80) icmp: 1,204 packets, 9 B, in by the wire of node",
    ),
    (f.FlowBookClosed(7, 8), "7 packets in rows, 8 in all"),
    (f.NameAsked("203.0.113.10", "a.test", "AAAA"), "node (203.0.113.10) asked for a.test AAAA"),
    (
        f.PacketCaptured(1.0, "203.0.113.10", "192.0.2.1", "udp", 9, 53, 60, "hi"),
        "node (203.0.113.10) → 192.0.2.1 udp/53, 60 B, begins 'hi'",
    ),
    (f.CaptureClosed("udp", 3, 0, "x.pcap"), "capture of “udp”: 3 packets, 0 dropped"),
    (
        f.TaskEventSeen("a", "worker", "Terminated", "gone", 3, 1.0),
        "task worker Terminated, exit code 3: gone",
    ),
    (f.TaskLog("a", "worker", "stderr", "one\ntwo"), "task worker stderr: one two"),
    (
        f.AllocationSeen("abcdefgh-1", "j", "failed", "", (f.TaskEnd("worker", "dead", True, False, 0),)),
        "allocation abcdefgh failed: worker failed, never started",
    ),
    (f.TailnetSeen(f.Moment.AFTER, ()), "the control server lists, after: no node"),
    (
        f.SecretScan("logs", 1200, (), "m", False),
        "auth key in logs (1,200 searched): not found; the marker was not found either: the search was blind",
    ),
    (
        f.SecretScan("variable", 1, ("TS_AUTHKEY",), "m", True, expected=True),
        "auth key in variable (1 searched): found: TS_AUTHKEY (where it belongs)",
    ),
    (f.PortsHeld("a1", (24001, 24002)), "Nomad gave it the ports 24001, 24002"),
    (f.LaunchSeen("batch/periodic-1", forced=True), "launched batch/periodic-1, forced"),
    (
        f.ExitWithdrawn("exit-a", ("0.0.0.0/0",), ("::/0",)),
        "exit-a is no exit node any more: 0.0.0.0/0 withdrawn; still approved: ::/0",
    ),
    (
        f.AttemptSeen("client", f.Way.TAILNET, "http://app/", "short name", 80, 1, True, 200, (), "hello"),
        "client asked for http://app/ by short name: 200, 'hello'",
    ),
    (
        f.AttemptSeen(
            "outsider", f.Way.DIRECT, "http://203.0.113.10:80/", "203.0.113.10", 80, 0, False, error="refused"
        ),
        "outsider asked for http://203.0.113.10:80/ (node): no connection (refused)",
    ),
    (
        f.PageSeen("client", "https://app/", 1, "App", "hello", "app-page-1.png"),
        "client's browser shows https://app/ as 'App' (app-page-1.png): hello",
    ),
    (
        f.CatalogueSeen(
            ("consul", "web"),
            (
                f.RegisteredService(
                    "a", "web", "web.tailnet.test", 80, (f.CheckSeen("alive", "passing", ""),)
                ),
                f.RegisteredService("a", "bare", "192.0.2.1", 81, ()),
            ),
        ),
        "the catalogue: web at web.tailnet.test:80, alive passing; bare at 192.0.2.1:81, without a check",
    ),
    (f.CatalogueSeen(("consul",), ()), "the catalogue: nothing of this job"),
    (f.LieTold("192.0.2.66", 2), "the check service answered 192.0.2.66, 2 times"),
    (
        f.ListenersSeen(
            f.Moment.RUNNING,
            "node",
            (
                f.Listener("tcp", "127.0.0.1", 80, "python3", "a", "worker"),
                f.Listener("udp", "::", 41641, "tailscaled"),
                f.Listener("tcp", "*", 9, ""),
                f.Listener("udp", "0.0.0.0", 7, "socat", control=True),  # noqa: S104 - told of, not listened on
            ),
            looks=12,
        ),
        "listening in node, running, 12 looks: worker tcp 127.0.0.1:80, tailscaled udp [::]:41641, "
        "nobody tcp *:9, the harness udp 0.0.0.0:7",
    ),
    (f.ListenersSeen(f.Moment.BEFORE, "worker-1", ()), "listening in worker-1, before: nothing"),
    (
        f.ContainersSeen(
            f.Moment.AFTER,
            (
                f.ContainerPorts("web-1", "1", "web", "bridge", ("*:8080 to 80/tcp",)),
                f.ContainerPorts("x-1", "1", "x", "host", publishes_all=True),
                f.ContainerPorts("y-1", "1", "y", "host"),
            ),
        ),
        "containers, after: web-1 (network bridge) publishes *:8080 to 80/tcp, "
        "x-1 (network host) publishes all its ports, y-1 (network host) publishes nothing",
    ),
    (
        f.PortsScanned("outsider", "203.0.113.10", "tcp", 65532, (22, 80), (22,), (7,), 3, 1.0, 1.4),
        "outsider asked every port of node (203.0.113.10), tcp: 65,532 closed; "
        "open: 22, 80 (without a word: 22); silent: 7; 0.4 s",
    ),
    (
        f.EscapeTried("worker", "a", ("x-tcp-4", "x-tcp-6"), ("x-tcp-4",)),
        "2 attempts to go out directly from worker, 1 say that they succeeded",
    ),
    (
        f.RequestSent("drum-1", 1.0, 0.25, "203.0.113.10", ""),
        "request drum-1 was sent: answered with node (203.0.113.10), after 0.25 s",
    ),
    (
        f.RequestSent("drum-2", 1.0, 3.0, "", "HTTP 503: closed"),
        "request drum-2 was sent: no answer (HTTP 503: closed), after 3.00 s",
    ),
    (
        f.RoundAsked("outsider", f.Way.DIRECT, 1.0, 1.2, 9, (), 3, 2),
        "outsider asked for 9 things (direct): no connection; of its 3 controls 2 answered",
    ),
    (
        f.RoundAsked("client", f.Way.TAILNET, 1.0, 1.2, 1, ("http://web/",), 0, 0),
        "client asked for 1 thing (tailnet): http://web/",
    ),
    (f.ServeSeen("a", ()), "tailscaled publishes by Funnel, to the whole internet: nothing"),
    (
        f.ServeSeen("a", ("web.tailnet.test:443",)),
        "tailscaled publishes by Funnel, to the whole internet: web.tailnet.test:443",
    ),
    (f.FaultSeen("exit-deleted", f.Phase.SHOWN, 1.0, "it is gone"), "exit-deleted shown: it is gone"),
    (f.ObserverFailed("capture", "died"), "capture failed: died"),
    (f.EpisodeEnded(1.0, 3.5, "complete", ("late",)), "ended after 2.5 s: complete; late"),
]


def say(fact: f.Fact) -> str:
    return observation_row(Observation(1, 2.0, "o", "s", "e", fact), NAMES).what


@pytest.mark.parametrize(("fact", "said"), TOLD)
def test_a_fact_in_words(fact: f.Fact, said: str) -> None:
    assert say(fact) == said


def test_no_kind_of_fact_is_without_words() -> None:
    assert {type(fact) for fact, _ in TOLD} == set(get_args(f.Fact))
    for kind in get_args(f.Fact):
        assert describe.dispatch(kind) is not describe.dispatch(object)


def test_a_long_log_is_cut() -> None:
    assert len(say(f.TaskLog("a", "worker", "stdout", "x" * 5000))) == 240


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (3_400_000, "3.4 MB"), (10**13, "10000.0 GB")],
)
def test_sizes(number: int, said: str) -> None:
    assert octets(number) == said


def test_the_clock_has_milliseconds() -> None:
    assert clock(1.25) == "00:00:01.250"


@pytest.mark.parametrize(
    ("claim", "title"),
    [
        (
            "egress.survives.exit-deleted",
            "Nothing leaves but by its exits when the exit node was deleted on the control server",
        ),
        ("other.some_thing", "Some thing"),
        ("lonely", "Lonely"),
    ],
)
def test_a_claim_that_the_catalogue_does_not_know_has_words(claim: str, title: str) -> None:
    assert claim_words.title(claim) == title
