"""The observers of open ports in a whole lab: each kind of listener is found by them, and nothing else."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from harness.lab import listening
from harness.lab.lab import Lab
from harness.lab.scan import PORTS, scan
from harness.lab.topology import Role
from harness.ledger.facts import Listener, Moment, PortsScanned
from harness.probes import listeners

pytestmark = pytest.mark.lab


@dataclass(frozen=True)
class Opened:
    """A listener on the node, and by which scans it must be found."""

    listens: str
    """As socat has it."""
    bound: str
    port: int
    protocol: str
    answers: frozenset[str]
    """The families over which it is reached from outside."""


BOTH = frozenset("46")
OPENED = (
    Opened("TCP4-LISTEN:4001,bind=0.0.0.0,fork", "0.0.0.0", 4001, "tcp", frozenset("4")),  # noqa: S104
    Opened("TCP6-LISTEN:4002,bind=[::],ipv6only=1,fork", "::", 4002, "tcp", frozenset("6")),
    Opened("TCP6-LISTEN:4003,bind=[::],ipv6only=0,fork", "*", 4003, "tcp", BOTH),
    Opened("TCP4-LISTEN:4004,bind=10.20.0.10,fork", "10.20.0.10", 4004, "tcp", frozenset()),
    Opened("TCP4-LISTEN:4005,bind=127.0.0.1,fork", "127.0.0.1", 4005, "tcp", frozenset()),
    Opened("UDP4-RECV:4006,bind=0.0.0.0", "0.0.0.0", 4006, "udp", frozenset("4")),  # noqa: S104
    Opened("UDP6-RECV:4007,bind=[::],ipv6only=1", "::", 4007, "udp", frozenset("6")),
    Opened("UDP4-RECV:4008,bind=10.20.0.10", "10.20.0.10", 4008, "udp", frozenset()),
    Opened("UDP4-RECV:4009,bind=127.0.0.1", "127.0.0.1", 4009, "udp", frozenset()),
)


@dataclass(frozen=True)
class Found:
    """What the observers saw while all of them listened."""

    inside: tuple[Listener, ...]
    scans: dict[tuple[str, str], PortsScanned]


@pytest.fixture(scope="module")
def found(lab: Lab) -> Iterator[Found]:
    node = lab.topology.only(Role.NODE)
    script = 'exec socat -u "$0" OPEN:/dev/null'
    with ExitStack() as stack:
        stack.enter_context(listeners.opened(lab.node.host))
        for each in OPENED:
            stream = lab.node.host.open("sh", "-c", f"echo $$; {script}", each.listens)
            stack.callback(stream.close)
            pid = stream.read(64, 10).decode().strip()
            stack.callback(lab.node.host.run, "sh", "-c", 'kill "$0"', pid)
        wait = "".join(f"until ss -Hlntu | grep -q ':{each.port} '; do sleep 0.02; done\n" for each in OPENED)
        lab.node.host.run("timeout", "10", "sh", "-c", wait).expect()
        looks, _ = listening.read(listeners.look(lab.node.host), Moment.RUNNING)
        before = lab.router.flows()
        scans = scan(lab.host("outsider"), [str(node.v4[0]), str(node.v6[0])])
        rows, book = lab.router.flows().since(before)
        # The book stays small, and has all of it.
        assert book.packets_in_rows == book.packets_in_all > 2 * 4 * PORTS
        assert len(rows) < 100
        yield Found(
            next(s.listeners for s in looks if s.place == listening.NODE),
            {("6" if ":" in s.address else "4", s.protocol): s for s in scans},
        )


@pytest.mark.parametrize("opened", OPENED, ids=lambda o: o.listens.partition(",fork")[0])
def test_each_is_found_inside_by_its_address(found: Found, opened: Opened) -> None:
    seen = [x for x in found.inside if x.port == opened.port]
    assert [(x.protocol, x.address, x.process, x.control) for x in seen] == [
        (opened.protocol, opened.bound, "socat", False)
    ]


@pytest.mark.parametrize("opened", OPENED, ids=lambda o: o.listens.partition(",fork")[0])
def test_each_is_found_from_outside_where_it_is_reached(found: Found, opened: Opened) -> None:
    for family in BOTH:
        made = found.scans[family, opened.protocol]
        shown = made.open if opened.protocol == "tcp" else made.silent
        assert (opened.port in shown) is (family in opened.answers)


@pytest.mark.parametrize("family", ["4", "6"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_every_other_port_says_that_it_is_closed(found: Found, family: str, protocol: str) -> None:
    made = found.scans[family, protocol]
    kind = "::" if family == "6" else "0.0.0.0"  # noqa: S104 - compared
    (control,) = (x.port for x in found.inside if x.control and (x.protocol, x.address) == (protocol, kind))
    wanted = {o.port for o in OPENED if o.protocol == protocol and family in o.answers} | {control}
    assert {*made.open, *made.silent} == wanted
    assert made.closed == PORTS - len(wanted)
    # A socat that never answers is no port that shuts its visitors out; the control answers.
    assert control not in made.shut


def test_a_watch_sees_what_listens_only_for_a_moment(lab: Lab) -> None:
    node = lab.node.host
    with ThreadPoolExecutor(1) as pool, listeners.watched(node, pool) as watch:
        stream = node.open("sh", "-c", "echo $$; exec socat -u TCP4-LISTEN:4010,fork OPEN:/dev/null")
        pid = stream.read(64, 10).decode().strip()
        seen = "until ss -Hlnt | grep -q ':4010 '; do sleep 0.02; done; sleep 0.5"
        node.run("timeout", "10", "sh", "-c", seen).expect()
        ends = 'kill "$0"; while ss -Hlnt | grep -q ":4010 "; do sleep 0.02; done'
        node.run("timeout", "10", "sh", "-c", ends, pid).expect()
        stream.close()
        looks, _ = listening.read(watch.end(), Moment.RUNNING)
    on_node = [look for look in looks if look.place == listening.NODE]
    assert any(x.port == 4010 for look in on_node for x in look.listeners)
    # The last look is made when the watch is over.
    assert not any(x.port == 4010 for x in on_node[-1].listeners)


def test_a_watch_and_the_controls_leave_no_process_on_the_node(lab: Lab) -> None:
    node = lab.node.host
    before = _ours(lab)
    with ThreadPoolExecutor(1) as pool, listeners.watched(node, pool), listeners.opened(node) as ports:
        assert set(ports) == {4, 6}
        assert _ours(lab) > before
    assert _ours(lab) == before


def _ours(lab: Lab) -> set[str]:
    """Processes on the node that are a watch or a control's listeners; other tests have some as well."""
    ours = (
        "grep -laE '^NOTAILCAR_CONTROL=|look[.]py' -z /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null"
    )
    return set(lab.node.host.run("sh", "-c", f'{ours} | grep -v "^/proc/$$/"; true').expect().stdout.split())


def test_a_host_that_nobody_answers_for_is_silent(lab: Lab) -> None:
    """The scanner itself is asked about an address that no host has: nothing is made up."""
    scanned = lab.host("outsider").run("python3", "/notailcar/scan.py", "1", "64", "192.0.2.77").expect()
    made = json.loads(scanned.stdout)
    assert scanned.stderr.splitlines()[:2] == [f"asked 64 {p} ports of 192.0.2.77" for p in ("tcp", "udp")]
    assert [(s["closed"], s["open"], len(s["silent"])) for s in made] == [(0, [], 64), (0, [], 64)]
