"""`ports.none_public`: what a job opens is reached through the tailnet, and by nobody else."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

from harness.claims.addresses import family
from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.claims.wording import count, listing
from harness.ledger.facts import (
    AllocationSeen,
    ContainerPorts,
    ContainersSeen,
    Listener,
    ListenersSeen,
    Moment,
    PortsScanned,
)
from harness.ledger.ledger import History, Observation

ALL_PORTS = 65535
WAYS = tuple((kind, protocol) for kind in ("IPv4", "IPv6") for protocol in ("tcp", "udp"))
"""What must be scanned, and what a control must have been found by."""
TAILSCALED = "tailscaled"
"""The process that listens beyond loopback by itself, whatever it is told: by UDP for WireGuard's packets,
which no stranger can make it answer; and, in userspace mode, by TCP for its peer API, which closes the
connection of whoever is no peer (tailscale, ipn/ipnlocal/peerapi.go: listen, ServeConn)."""
NODE = "node"


def on_loopback(address: str) -> bool:
    """Whether a socket bound to this hears its own host alone. `*` and what is no address does not."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


_Own = dict[tuple[str, str, str, str, str], int]
"""What tailscaled opened by itself: the port of a place, allocation, task, protocol and address."""


@dataclass(frozen=True)
class _Opened:
    """What listened while the job ran: a listener, where, and by which observation."""

    observation: Observation
    place: str
    listener: Listener

    @property
    def ways(self) -> frozenset[tuple[str, str]]:
        """The families and the protocol that it is reached by."""
        kinds = {family(self.listener.address)} - {""} or {"IPv4", "IPv6"}
        # Bound to [::], a socket may take IPv4 as well: ss shows that as `*`.
        return frozenset((kind, self.listener.protocol) for kind in kinds)

    def __str__(self) -> str:
        listener = self.listener
        holder = listener.task or listener.process or "nobody"
        where = "" if self.place == NODE else f" in {self.place}"
        address = f"[{listener.address}]" if ":" in listener.address else listener.address
        return f"{holder} on {listener.protocol} {address}:{listener.port}{where}"


def none_public(history: History, expectation: Expectation) -> Verdict:
    """Judge whether anything that the job opened can be reached from outside of the tailnet.

    Three observers look while it runs: inside, at the listening sockets; at the engine's published ports; and
    from another host, at every port of the node.

    Args:
        history: episode ports.
        expectation: the node's addresses, and which tasks are sidecars.

    Returns:
        Refuted by a listener beyond loopback that was not there before the job (but for tailscaled's own UDP
        port), by a published port, and by a port that answers from outside. Unproven when one of the
        observers did not look, did not find what the harness opened to be found, or had no answer of a port.
    """
    opened = list(_opened(history))
    controls = [o for o in opened if o.listener.control and not on_loopback(o.listener.address)]
    before = [_Opened(o, s.place, x) for o, s in _looks(history, Moment.BEFORE) for x in s.listeners]
    new = _new(history, opened, before)
    own, public = _told_apart([o for o in new if not on_loopback(o.listener.address)], expectation)
    published = _published(history)
    scans = [(o, s) for o, s in history.of(PortsScanned) if s.address in expectation.node.addresses]
    # Whose port answered is told by the looks before the job and at the scan's end.
    known = [o for o in (*before, *controls) if not on_loopback(o.listener.address)]
    looked = {s.moment for _, s in history.of(ListenersSeen) if s.place == NODE} >= {
        Moment.BEFORE,
        Moment.AFTER,
    }
    answered = [(o, s, ports) for o, s in scans if looked and (ports := _answering(s, known, own))]
    shown = tuple(
        dict.fromkeys([*(o.observation for o in controls), *(o for o, s in scans if _heard(s, controls))])
    )

    faults = []
    if public:
        listed = listing(dict.fromkeys(str(o) for o in public), "; ")
        faults.append(f"what the job opened listens beyond loopback: {listed}")
    if published:
        listed = listing(
            dict.fromkeys(f"{c.container} {', '.join(c.published) or 'all its ports'}" for _, c in published),
            "; ",
        )
        faults.append(f"the engine publishes ports: {listed}")
    for _, scan, ports in answered:
        faults.append(f"from {scan.scanner}, {scan.protocol} {scan.address} answers on {_listed(ports)}")
    if faults:
        against = [*(o.observation for o in public), *(o for o, _ in published), *(o for o, *_ in answered)]
        return Verdict(Outcome.REFUTED, "; ".join(faults) + ".", tuple(dict.fromkeys(against)), shown)

    evidence = tuple(
        o
        for o, f in ((o, o.fact) for o in history.observations)
        if isinstance(f, ListenersSeen | ContainersSeen | AllocationSeen | PortsScanned)
    )
    missing = [
        *_unseen(history, controls),
        *_unheld(history, expectation),
        *_unanswered(scans, controls, known, own),
    ]
    if missing:
        return Verdict(Outcome.UNPROVEN, f"Not shown: {listing(missing, '; ')}.", evidence, shown)
    looks = sum(s.looks for m in (Moment.RUNNING, Moment.AFTER) for _, s in _looks(history, m))
    loopback = {(o.listener.protocol, o.listener.port) for o in new if on_loopback(o.listener.address)}
    return Verdict(
        Outcome.PROVEN,
        f"In {count(looks, 'look')}, {count(len(loopback), 'port')} that the job opened "
        f"{'is' if len(loopback) == 1 else 'are'} on loopback alone"
        f"{_by_itself(own)}; {count(len(_running(history)), 'container')} publish none; and of all "
        f"{ALL_PORTS} TCP and UDP ports, over IPv4 and IPv6, none answers {scans[0][1].scanner}"
        f"{_silence(scans, controls)}. The listeners that the harness opened were found each time.",
        evidence,
        shown,
    )


def _looks(history: History, *moments: Moment) -> list[tuple[Observation, ListenersSeen]]:
    return [(o, s) for o, s in history.of(ListenersSeen) if s.moment in moments]


def _opened(history: History) -> Iterator[_Opened]:
    found = [
        _Opened(observation, seen.place, listener)
        for observation, seen in _looks(history, Moment.RUNNING, Moment.AFTER)
        for listener in seen.listeners
    ]
    # Of a process that is just ending nobody can say any more whose it is; another look has said it.
    held = {_key(o): o.listener for o in found if o.listener.allocation}
    for each in found:
        owned = each.listener if each.listener.allocation else held.get(_key(each), each.listener)
        yield replace(each, listener=owned)


def _new(history: History, opened: list[_Opened], before: list[_Opened]) -> list[_Opened]:
    """Give what was not there before the job; nothing of a node that nobody looked at before."""
    known = {_key(o) for o in before}
    places = {s.place for _, s in _looks(history, Moment.BEFORE)}
    return [
        o
        for o in opened
        if not o.listener.control and _key(o) not in known and (o.place != NODE or NODE in places)
    ]


def _key(opened: _Opened) -> tuple[str, str, str, int, str]:
    listener = opened.listener
    return opened.place, listener.protocol, listener.address, listener.port, listener.process


def _published(history: History) -> list[tuple[Observation, ContainerPorts]]:
    """Give what the engine publishes of the job's containers, and of others that came with it."""
    seen = history.of(ContainersSeen)
    first = [s for _, s in seen if s.moment is Moment.BEFORE]
    known = {c.container for s in first for c in s.containers}
    return [
        (o, c)
        for o, s in seen
        if s.moment is not Moment.BEFORE
        for c in s.containers
        if (c.allocation or (first and c.container not in known)) and (c.published or c.publishes_all)
    ]


def _told_apart(beyond: list[_Opened], expectation: Expectation) -> tuple[_Own, list[_Opened]]:
    """Give what tailscaled opens by itself, one port a protocol and family of each sidecar, and the rest."""
    own: _Own = {}
    public = []
    for each in sorted(beyond, key=lambda o: o.listener.port):
        listener = each.listener
        of_sidecar = listener.allocation and listener.task in expectation.sidecars
        if listener.process == TAILSCALED and of_sidecar and _is_any(listener.address):
            socket = each.place, listener.allocation, listener.task, listener.protocol, listener.address
            if own.setdefault(socket, listener.port) == listener.port:
                continue
        public.append(each)
    return own, public


def _ports_of(own: _Own, protocol: str) -> set[int]:
    """Give tailscaled's own ports on the node, which a scan meets; in a network of its own, none does."""
    return {port for (place, _, _, kind, _), port in own.items() if place == NODE and kind == protocol}


def _is_any(address: str) -> bool:
    return address in ("0.0.0.0", "::")  # noqa: S104 - it is read, not listened on


def _running(history: History) -> frozenset[tuple[str, str]]:
    """Give the allocation and task of every container that ran before the scans and still after them."""
    scans = [o.number for o, _ in history.of(PortsScanned)] or [0]

    def during(moment: Moment) -> set[tuple[str, str]]:
        return {
            (c.allocation, c.task)
            for o, s in history.of(ContainersSeen)
            if s.moment is moment
            and (o.number < min(scans) if moment is Moment.RUNNING else o.number > max(scans))
            for c in s.containers
            if c.allocation and c.network
        }

    return frozenset(during(Moment.RUNNING) & during(Moment.AFTER))


def _ports(controls: Iterable[_Opened], scan: PortsScanned) -> set[int]:
    """Give the control's ports that a scan must find."""
    return {
        o.listener.port
        for o in controls
        if (family(scan.address), scan.protocol) in o.ways and o.place == NODE
    }


def _answering(scan: PortsScanned, known: Iterable[_Opened], own: _Own) -> set[int]:
    """Give the ports that answered and should not; a peer API that was seen to shut is none of them."""
    shut = _ports_of(own, "tcp") & set(scan.shut) if scan.protocol == "tcp" else set()
    return set(scan.open) - _ports(known, scan) - shut


def _heard(scan: PortsScanned, controls: Iterable[_Opened]) -> bool:
    # Over TCP the control answers, so that a port which shuts everybody out is told apart from it.
    found = set(scan.open) - set(scan.shut) if scan.protocol == "tcp" else {*scan.open, *scan.silent}
    wanted = _ports(controls, scan)
    return bool(wanted) and wanted <= found


def _unseen(history: History, controls: list[_Opened]) -> Iterator[str]:
    for moment, when in (
        (Moment.BEFORE, "before the job"),
        (Moment.RUNNING, "while it ran"),
        (Moment.AFTER, "after the scan"),
    ):
        if not any(s.place == NODE for _, s in _looks(history, moment)):
            yield f"nobody looked at what listens {when}"
    for moment in (Moment.RUNNING, Moment.AFTER):
        ways = {w for o in controls if o.place == NODE and _moment(o) is moment for w in o.ways}
        if blind := [f"{kind} {protocol}" for kind, protocol in WAYS if (kind, protocol) not in ways]:
            yield f"the listener that the harness opened was not seen {moment}: {', '.join(blind)}"


def _moment(opened: _Opened) -> Moment | None:
    fact = opened.observation.fact
    return fact.moment if isinstance(fact, ListenersSeen) else None


def _unheld(history: History, expectation: Expectation) -> Iterator[str]:
    """Say what does not show that the job ran all the time: a scan of an empty node finds nothing."""
    allocations = [a for _, a in history.of(AllocationSeen)]
    if not allocations:
        yield "no allocation of the job was seen"
    running = _running(history)
    for allocation in allocations:
        tasks = {t.task for t in allocation.tasks} & (expectation.sidecars | expectation.workers)
        ended = sorted(t for t in tasks if (allocation.allocation, t) not in running)
        if not tasks or ended:
            what = ", ".join(ended) or "no task"
            yield f"in allocation {allocation.allocation[:8]}, {what} did not run before and after the scan"


def _unanswered(
    scans: list[tuple[Observation, PortsScanned]],
    controls: list[_Opened],
    known: list[_Opened],
    own: _Own,
) -> Iterator[str]:
    done = {(family(s.address), s.protocol) for _, s in scans}
    if lacking := [f"{kind} {protocol}" for kind, protocol in WAYS if (kind, protocol) not in done]:
        yield f"not scanned: {', '.join(lacking)}"
    for _, scan in scans:
        name = f"{scan.protocol} {scan.address}"
        if not _heard(scan, controls):
            yield f"the scan of {name} did not find the listener that the harness opened"
        if scan.closed < 0 or scan.closed + len({*scan.open, *scan.silent}) != ALL_PORTS:
            yield f"the scan of {name} does not tell of {ALL_PORTS} ports"
        expected = _ports(known, scan) | (_ports_of(own, "udp") if scan.protocol == "udp" else set())
        if silent := set(scan.silent) - expected:
            yield f"of {name}, {count(len(silent), 'port')} gave no answer: {_listed(silent)}"


def _listed(ports: Iterable[int]) -> str:
    return listing(map(str, sorted(ports)))


def _by_itself(own: _Own) -> str:
    parts = []
    if tunnels := _ports_of(own, "udp"):
        parts.append(f"for WireGuard on udp {_listed(tunnels)}, silent to strangers")
    if peers := _ports_of(own, "tcp"):
        parts.append(f"for its peers on tcp {_listed(peers)}, where strangers are shut out without a byte")
    return f", beside {TAILSCALED}'s own {' and '.join(parts)}" if parts else ""


def _silence(scans: list[tuple[Observation, PortsScanned]], controls: list[_Opened]) -> str:
    """Say what was silent and may be."""
    silent = sorted({p for _, s in scans for p in set(s.silent) - _ports(controls, s)})
    closed = sum(s.closed for _, s in scans)
    ways = f" ({closed} said that they are closed"
    return f"{ways}; silent: udp {_listed(silent)})" if silent else f"{ways})"
