"""A worker that goes out beside its proxies is refuted: always or once, over IPv6, UDP or DNS alone."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import pytest

from harness.assembly import default_topology
from harness.lab import topology_file
from harness.lab.topology import Role
from tests.robustness.commands import Command
from tests.robustness.copies import Edit, copy
from tests.robustness.proof import Claim, claims

pytestmark = pytest.mark.lab

TOPOLOGY = topology_file.load(default_topology())
ECHO = TOPOLOGY.only(Role.ECHO)
NODE = TOPOLOGY.only(Role.NODE).addresses
ADDRESS, PACKETS, DNS = "egress.address", "egress.no_direct_packets", "egress.dns"
UNTOUCHED = ("identity.tagged", "identity.removed_after_stop", "secrets.not_exposed")
UNHEARD = 9
"""A port of the echo host where nothing listens: no receiver tells of what comes there."""

_OPEN = "urllib.request.urlopen(request, timeout=settings.timeout)"
_DIRECT = "urllib.request.build_opener(urllib.request.ProxyHandler({})).open"
_BEGIN = "    answers: list[Answer] = []\n"


def opening(when: str) -> Edit:
    """The worker opens a request without its proxies when a condition holds."""
    chosen = f"({_DIRECT} if {when} else urllib.request.urlopen)(request, timeout=settings.timeout)"
    return Edit("worker.py", _OPEN, chosen)


def beginning(*statements: str) -> Edit:
    """The worker does something before its first request."""
    return Edit("worker.py", _BEGIN, "".join(f"    {s}\n" for s in ("import socket", *statements)) + _BEGIN)


@dataclass(frozen=True)
class Leak:
    """A worker that leaks, and what must come of it."""

    edit: Edit
    refuted: frozenset[str]
    destinations: frozenset[str] = frozenset()
    """The addresses that packets must be shown to have gone to."""
    ways: frozenset[tuple[str, int]] = field(default_factory=frozenset)
    """Their protocols and ports."""


V4, V6 = str(ECHO.v4[0]), str(ECHO.v6[0])
HTTP, HTTPS = ("tcp", ECHO.port("http")), ("tcp", ECHO.port("https"))
LEAKS = {
    "always": Leak(
        opening("True"), frozenset({ADDRESS, PACKETS, DNS}), frozenset({V4, V6}), frozenset({HTTP, HTTPS})
    ),
    "once": Leak(
        # The fifth of twelve asks http://api.ipify.org.
        opening('token.endswith("-5")'),
        frozenset({ADDRESS, PACKETS, DNS}),
        frozenset({V4}),
        frozenset({HTTP}),
    ),
    "ipv6": Leak(
        opening('"api6" in url'), frozenset({ADDRESS, PACKETS, DNS}), frozenset({V6}), frozenset({HTTPS})
    ),
    "datagram": Leak(
        beginning(f'socket.socket(type=socket.SOCK_DGRAM).sendto(b"told", ("{V4}", {UNHEARD}))'),
        frozenset({PACKETS}),
        frozenset({V4}),
        frozenset({("udp", UNHEARD)}),
    ),
    "look-up": Leak(
        beginning("try:", '    socket.getaddrinfo("told.example.com", 443)', "except OSError:", "    pass"),
        frozenset({PACKETS, DNS}),
    ),
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """One run over all of them, side by side with the worker as it stands: one lab, several examples."""
    root = tmp_path_factory.mktemp("leaks")
    for name, leak in LEAKS.items():
        copy(root, name, leak.edit)
    copy(root, "honest")
    argv = (
        "pytest",
        "scenarios",
        "-p",
        "no:cacheprovider",
        "-k",
        "not guard_holds and not fallback and not ports",
    )
    with Command(root / "run", [*argv, "--examples", str(root / "examples")]) as run:
        run.wait(180)
        return run


def of_kind(claim: Claim, kind: str) -> list[dict[str, Any]]:
    return [e["fact"] for e in claim["evidence"] if e["role"] == "evidence" and e["fact"]["kind"] == kind]


def test_the_run_fails(judged: Command) -> None:
    assert judged.exit_code == 1, judged.output
    assert {subject for subject, _ in claims(judged)} == {"honest", *LEAKS}


def test_the_honest_worker_beside_them_is_proven(judged: Command) -> None:
    found = {claim: e["verdict"] for (subject, claim), e in claims(judged).items() if subject == "honest"}
    assert len(found) == 6
    assert set(found.values()) == {"proven"}, judged.output


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_refuted(judged: Command, name: str) -> None:
    found = {claim: e for (subject, claim), e in claims(judged).items() if subject == name}
    refuted = {claim for claim, entry in found.items() if entry["verdict"] == "refuted"}
    proven = {claim for claim, entry in found.items() if entry["verdict"] == "proven"}
    assert refuted == LEAKS[name].refuted, judged.output
    assert proven == {ADDRESS, PACKETS, DNS, *UNTOUCHED} - refuted


@pytest.mark.parametrize("name", [name for name, leak in LEAKS.items() if leak.destinations])
def test_the_packets_are_shown(judged: Command, name: str) -> None:
    entry, leak = claims(judged)[name, PACKETS], LEAKS[name]
    for kind in ("FlowSeen", "PacketCaptured"):
        shown = of_kind(entry, kind)
        assert {fact["destination"] for fact in shown} == leak.destinations
        assert {(fact["protocol"], fact["port"]) for fact in shown} == leak.ways
        assert {fact["source"] for fact in shown} <= NODE
    assert ECHO.name in entry["reason"]
    assert all(destination in entry["reason"] for destination in leak.destinations)
    # The capture itself is there to be opened.
    assert (judged.reports / "runs" / judged.run / f"{name}.pcap").stat().st_size > 24


@pytest.mark.parametrize("name", [name for name, leak in LEAKS.items() if ADDRESS in leak.refuted])
def test_the_receiver_tells_the_nodes_address(judged: Command, name: str) -> None:
    requests = of_kind(claims(judged)[name, ADDRESS], "RequestSeen")
    assert requests
    assert {fact["peer"] for fact in requests} <= NODE
    assert {ip_address(fact["peer"]).version for fact in requests} == {
        ip_address(destination).version for destination in LEAKS[name].destinations
    }
    if name == "once":
        assert len(requests) == 1


def test_a_look_up_is_shown_by_its_name(judged: Command) -> None:
    entry = claims(judged)["look-up", DNS]
    assert {fact["name"] for fact in of_kind(entry, "NameAsked")} == {"told.example.com"}
    assert "told.example.com" in entry["reason"]


def test_the_terminal_names_them(judged: Command) -> None:
    for name, leak in LEAKS.items():
        for claim in leak.refuted:
            # The claim, the example and, below them, the reason.
            _, found, rest = judged.output.partition(f"refuted   {claim:27}  {name:14}"[:37].rstrip())
            assert found
            assert rest
    assert V4 in judged.output
    assert V6 in judged.output
    assert "told.example.com" in judged.output
    refuted = sum(len(leak.refuted) for leak in LEAKS.values())
    assert f"{refuted} of {6 * (len(LEAKS) + 1)} claims refuted" in judged.output
