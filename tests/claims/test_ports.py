"""ports.none_public: three observers, each with what it must find."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.claims.ports import ALL_PORTS, on_loopback
from harness.claims.verdict import Outcome
from harness.ledger.episodes import PORTS
from harness.ledger.facts import (
    AllocationSeen,
    ContainersSeen,
    Fact,
    Listener,
    ListenersSeen,
    Moment,
    PortsScanned,
)
from tests.claims.build import (
    ANY,
    CONTROL_LISTENERS,
    EXIT_A4,
    JOB_LISTENERS,
    NODE4,
    NODE6,
    NODE_LAN,
    NOMAD,
    Story,
    allocation,
    container,
    containers,
    end,
    expecting,
    facts,
    good,
    listener,
    listening,
    scanned,
)
from tests.claims.test_properties import FEW

CLAIM = "ports.none_public"
WHILE_RUNNING = pytest.mark.parametrize("moment", [Moment.RUNNING, Moment.AFTER])
BOUND = pytest.mark.parametrize(
    "address", [ANY, "::", "*", NODE4, NODE6, NODE_LAN, "fe80::1", "172.17.0.1", ""]
)
PROTOCOL = pytest.mark.parametrize("protocol", ["tcp", "udp"])


def without(story: Story, gone: Listener) -> Story:
    """The story in which no look shows this listener."""
    return Story(
        tuple(
            (
                e,
                replace(f, listeners=tuple(x for x in f.listeners if x != gone))
                if isinstance(f, ListenersSeen)
                else f,
            )
            for e, f in story.told
        )
    )


def rescanned(*changed: PortsScanned) -> Story:
    """The good run with other scans of what these scanned."""
    which = {(s.address, s.protocol): s for s in changed}
    told = [
        (e, which.get((f.address, f.protocol), f) if isinstance(f, PortsScanned) else f)
        for e, f in good().told
    ]
    return Story(tuple(told))


def test_proven_says_what_is_open_all_the_same() -> None:
    verdict = good().verdict(CLAIM)
    assert verdict.outcome is Outcome.PROVEN
    assert "2 ports that the job opened are on loopback alone" in verdict.reason
    assert "WireGuard on udp 41001, 41002, silent to strangers" in verdict.reason
    assert "its peers on tcp 61927, where strangers are shut out without a byte" in verdict.reason
    assert "2 containers publish none" in verdict.reason
    assert "none answers outsider" in verdict.reason
    assert "silent: udp 41001, 41002" in verdict.reason
    assert {type(f) for f in facts(verdict.controls)} == {ListenersSeen, PortsScanned}


@WHILE_RUNNING
@PROTOCOL
@BOUND
def test_a_listener_beyond_loopback_refutes(address: str, protocol: str, moment: Moment) -> None:
    seen = listening(moment, listener("worker", protocol, address, 8080))
    verdict = good().add(PORTS, seen).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert f"worker on {protocol} " in verdict.reason
    assert facts(verdict.evidence) == [seen]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@PROTOCOL
def test_a_listener_on_loopback_is_what_is_asked_for(address: str, protocol: str) -> None:
    story = good().add(PORTS, listening(Moment.RUNNING, listener("worker", protocol, address, 8080)))
    assert story.verdict(CLAIM).outcome is Outcome.PROVEN


def test_a_listener_in_a_namespace_of_its_own_refutes_and_says_where() -> None:
    seen = listening(Moment.RUNNING, listener("worker", "tcp", ANY, 80), place="worker-alloc-1")
    verdict = good().add(PORTS, seen).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert f"worker on tcp {ANY}:80 in worker-alloc-1" in verdict.reason


def test_what_was_there_before_the_job_is_not_the_jobs() -> None:
    sshd = listener("", "tcp", ANY, 22, "sshd")
    story = Story(
        tuple(
            (e, replace(f, listeners=(*f.listeners, sshd)) if isinstance(f, ListenersSeen) else f)
            for e, f in rescanned(scanned(NODE4, "tcp", open=(22, 50001, 61927))).told
        )
    )
    assert story.verdict(CLAIM).outcome is Outcome.PROVEN
    other = replace(sshd, process="python3")
    assert story.add(PORTS, listening(Moment.AFTER, other)).verdict(CLAIM).outcome is Outcome.REFUTED


@pytest.mark.parametrize(
    "imitated",
    [
        listener("worker", "udp", ANY, 41003, "tailscaled"),
        listener("", "udp", ANY, 41003, "tailscaled"),
        listener("tailscale", "udp", ANY, 41003, "socat"),
        listener("tailscale", "udp", ANY, 41003),
        listener("tailscale", "udp", "::", 41003),
        listener("tailscale", "tcp", ANY, 61928),
        listener("tailscale", "udp", NODE4, 41003),
        listener("tailscale", "udp", "*", 41003),
        replace(listener("worker", "tcp", ANY, 41003), control=False, process="socat"),
    ],
    ids=[
        *("other-task", "no-task", "other-process", "second-port", "second-port-v6"),
        *("second-tcp", "one-address", "both-families", "not-the-harness"),
    ],
)
def test_only_tailscaleds_own_ports_are_let_through(imitated: Listener) -> None:
    verdict = good().add(PORTS, listening(Moment.RUNNING, imitated)).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED


@pytest.mark.parametrize(
    ("port", "outcome"), [(41001, Outcome.PROVEN), (41009, Outcome.REFUTED)], ids=["known", "never-owned"]
)
def test_a_socket_of_a_process_that_ends_is_whose_it_was_before(port: int, outcome: Outcome) -> None:
    ending = listener("", "udp", ANY, port, "tailscaled")
    assert good().add(PORTS, listening(Moment.RUNNING, ending)).verdict(CLAIM).outcome is outcome


def test_each_sidecar_has_ports_of_its_own() -> None:
    second = tuple(
        replace(x, allocation="alloc-2", port=x.port + 10) for x in JOB_LISTENERS if x.task == "tailscale"
    )
    story = rescanned(
        scanned(NODE4, "tcp", open=(50001, 61927, 61937), shut=(61927, 61937)),
        scanned(NODE4, "udp", silent=(41001, 41011, 50003)),
        scanned(NODE6, "udp", silent=(41002, 41012, 50004)),
    )
    told = story.add(PORTS, listening(Moment.RUNNING, *NOMAD, *CONTROL_LISTENERS, *second))
    assert told.verdict(CLAIM).outcome is Outcome.PROVEN
    assert story.verdict(CLAIM).outcome is Outcome.REFUTED


def test_a_sidecars_port_in_a_network_of_its_own_excuses_none_of_the_nodes() -> None:
    sealed = listening(Moment.RUNNING, listener("tailscale", "tcp", ANY, 61999), place="tailscale-alloc-1")
    assert good().add(PORTS, sealed).verdict(CLAIM).outcome is Outcome.PROVEN
    shut = rescanned(scanned(NODE4, "tcp", open=(50001, 61927, 61999), shut=(61927, 61999)))
    assert shut.add(PORTS, sealed).verdict(CLAIM).outcome is Outcome.REFUTED


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (container("worker", "0.0.0.0:8080 to 80/tcp"), "worker-alloc-1 0.0.0.0:8080 to 80/tcp"),
        (container("worker", "127.0.0.1:8080 to 80/tcp"), "127.0.0.1:8080"),
        (container("worker", publishes_all=True), "worker-alloc-1 all its ports"),
        (replace(container("x", "*:1 to 1/udp"), allocation="", container="beside"), "beside *:1 to 1/udp"),
    ],
    ids=["published", "on-loopback", "all", "beside-nomad"],
)
@WHILE_RUNNING
def test_a_published_port_refutes(of: object, said: str, moment: Moment) -> None:
    seen = ContainersSeen(moment, (of,))  # type: ignore[arg-type]
    verdict = good().add(PORTS, seen).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert said in verdict.reason
    assert facts(verdict.evidence) == [seen]


@PROTOCOL
@pytest.mark.parametrize("address", [NODE4, NODE6])
@pytest.mark.parametrize("port", [1, 8080, 65535])
def test_a_port_that_answers_from_outside_refutes(address: str, protocol: str, port: int) -> None:
    plain = scanned(address, protocol)
    verdict = rescanned(scanned(address, protocol, open=(*plain.open, port))).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert f"from outsider, {protocol} {address} answers on {port}" in verdict.reason


def test_a_peer_api_that_speaks_to_a_stranger_refutes() -> None:
    verdict = rescanned(scanned(NODE4, "tcp", shut=())).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert f"tcp {NODE4} answers on 61927" in verdict.reason


def test_a_port_that_shuts_strangers_out_is_open_where_it_is_not_tailscaleds() -> None:
    plain = scanned(NODE4, "tcp")
    verdict = rescanned(scanned(NODE4, "tcp", open=(*plain.open, 99), shut=(61927, 99))).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert "answers on 99." in verdict.reason


@PROTOCOL
@pytest.mark.parametrize("address", [NODE4, NODE6])
def test_a_port_without_an_answer_proves_nothing(address: str, protocol: str) -> None:
    plain = scanned(address, protocol)
    verdict = rescanned(scanned(address, protocol, silent=(*plain.silent, 7))).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert f"of {protocol} {address}, 1 port gave no answer: 7" in verdict.reason


@pytest.mark.parametrize("gone", CONTROL_LISTENERS, ids=lambda c: f"{c.protocol}-{c.address}")
def test_unproven_when_the_look_missed_the_harness(gone: Listener) -> None:
    story = without(good(), gone)
    verdict = story.verdict(CLAIM)
    # Over TCP, what nobody is seen to hold answers from outside.
    assert verdict.outcome is (Outcome.REFUTED if gone.protocol == "tcp" else Outcome.UNPROVEN)


@pytest.mark.parametrize(
    "blind",
    [
        scanned(NODE4, "tcp", open=(61927,)),
        scanned(NODE4, "tcp", shut=(50001, 61927)),
        scanned(NODE6, "tcp", open=()),
        scanned(NODE4, "udp", silent=(41001,)),
        scanned(NODE6, "udp", silent=()),
    ],
)
def test_unproven_when_a_scan_missed_the_harness(blind: PortsScanned) -> None:
    verdict = rescanned(blind).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert f"the scan of {blind.protocol} {blind.address} did not find the listener" in verdict.reason


@pytest.mark.parametrize("closed", [0, 1024, ALL_PORTS, -1])
def test_unproven_when_a_scan_is_not_of_every_port(closed: int) -> None:
    verdict = rescanned(scanned(NODE4, "tcp", closed=closed)).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert f"does not tell of {ALL_PORTS} ports" in verdict.reason


@pytest.mark.parametrize(
    ("story", "said"),
    [
        (good().drop(PortsScanned), "not scanned: IPv4 tcp, IPv4 udp, IPv6 tcp, IPv6 udp"),
        (good().drop(PortsScanned, where=lambda s: s.address == NODE6), "not scanned: IPv6 tcp, IPv6 udp"),
        (good().drop(PortsScanned, where=lambda s: s.protocol == "udp"), "not scanned: IPv4 udp, IPv6 udp"),
        (good().drop(ListenersSeen), "nobody looked at what listens before the job"),
        (good().drop(ListenersSeen, where=lambda s: s.moment is Moment.BEFORE), "before the job"),
        (good().drop(ListenersSeen, where=lambda s: s.moment is Moment.RUNNING), "while it ran"),
        (good().drop(ListenersSeen, where=lambda s: s.moment is Moment.AFTER), "after the scan"),
        (good().drop(ContainersSeen), "tailscale, worker did not run before and after the scan"),
        (good().drop(AllocationSeen), "no allocation of the job was seen"),
        (good().put(AllocationSeen, PORTS, allocation(end("x", started=True))), "no task did not run"),
    ],
)
def test_unproven_when_somebody_did_not_look(story: Story, said: str) -> None:
    verdict = story.verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert said in verdict.reason


@pytest.mark.parametrize(
    ("moment", "tasks", "ended"),
    [
        (Moment.AFTER, ("tailscale",), "worker"),
        (Moment.AFTER, ("worker",), "tailscale"),
        (Moment.AFTER, (), "tailscale, worker"),
        (Moment.RUNNING, ("worker",), "tailscale"),
    ],
)
def test_unproven_when_the_job_ended_before_the_scan_did(
    moment: Moment, tasks: tuple[str, ...], ended: str
) -> None:
    told = tuple(
        (e, containers(moment, *tasks) if isinstance(f, ContainersSeen) and f.moment is moment else f)
        for e, f in good().told
    )
    verdict = Story(told).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert f"in allocation alloc-1, {ended} did not run before and after the scan" in verdict.reason


def test_a_scan_after_the_last_look_is_of_a_job_that_may_be_gone() -> None:
    scans = [(e, f) for e, f in good().told if isinstance(f, PortsScanned)]
    rest = [(e, f) for e, f in good().told if not isinstance(f, PortsScanned)]
    verdict = Story((*rest, *scans)).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "did not run before and after the scan" in verdict.reason


def test_another_hosts_ports_are_not_the_nodes() -> None:
    elsewhere = [
        replace(f, address=EXIT_A4)
        for f in facts(good().history().observations)
        if isinstance(f, PortsScanned)
    ]
    verdict = good().put(PortsScanned, PORTS, *elsewhere).verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert "not scanned" in verdict.reason


def test_which_tasks_are_sidecars_comes_from_the_expectation() -> None:
    assert good().verdict(CLAIM, expecting(sidecars=frozenset({"other"}))).outcome is Outcome.REFUTED


ADDRESSES = st.ip_addresses().map(str) | st.sampled_from(["*", ANY, "::", ""])


@FEW
@given(
    address=ADDRESSES.filter(lambda a: not on_loopback(a)),
    protocol=st.sampled_from(["tcp", "udp"]),
    port=st.integers(0, 65535),
    task=st.sampled_from(["worker", ""]),
    process=st.sampled_from(["python3", "tailscaled", ""]),
    place=st.sampled_from(["node", "worker-alloc-1"]),
    moment=st.sampled_from([Moment.RUNNING, Moment.AFTER]),
    at=st.integers(0, len(good().told)),
)
def test_any_listener_beyond_loopback_refutes(  # noqa: PLR0917
    address: str, protocol: str, port: int, task: str, process: str, place: str, moment: Moment, at: int
) -> None:
    seen = listening(moment, listener(task, protocol, address, port, process), place=place)
    told = list(good().told)
    told.insert(at, (PORTS, seen))
    assert Story(tuple(told)).verdict(CLAIM).outcome is Outcome.REFUTED


@FEW
@given(
    address=st.sampled_from([NODE4, NODE6]),
    protocol=st.sampled_from(["tcp", "udp"]),
    silent=st.sets(st.integers(1, 40000), min_size=1, max_size=9),
    closed=st.none() | st.integers(0, 65535),
)
def test_an_unanswered_scan_never_proves(
    address: str, protocol: str, silent: set[int], closed: int | None
) -> None:
    plain = scanned(address, protocol)
    changes: dict[str, object] = {"silent": tuple(silent | set(plain.silent))}
    scan = scanned(address, protocol, **changes, **({} if closed is None else {"closed": closed}))
    assert rescanned(scan).verdict(CLAIM).outcome is Outcome.UNPROVEN


@FEW
@given(gone=st.sets(st.integers(0, len(good().told) - 1), min_size=1, max_size=20))
def test_what_was_not_observed_neither_proves_nor_refutes(gone: set[int]) -> None:
    told = tuple(t for n, t in enumerate(good().told) if n not in gone)
    needed: tuple[type[Fact], ...] = (ListenersSeen, ContainersSeen, PortsScanned, AllocationSeen)
    lost = [t for n, t in enumerate(good().told) if n in gone and t[0] == PORTS and isinstance(t[1], needed)]
    outcome = Story(told).verdict(CLAIM).outcome
    # What ran before the job may be looked away: nothing was published and nothing was there beside it.
    optional = [f for _, f in lost if isinstance(f, ContainersSeen) and f.moment is Moment.BEFORE]
    assert outcome is not Outcome.REFUTED
    if len(lost) > len(optional):
        assert outcome is Outcome.UNPROVEN
