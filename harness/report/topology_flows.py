"""The flow book of a run as bands between hosts: who spoke to whom, and what for."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.claims.addresses import stays_on_link
from harness.claims.packets import CONTROL_PORTS, Purpose, answers, heard_from_members, purpose
from harness.claims.verdict import Expectation, HostAddresses
from harness.lab.topology import Host, Role, Topology
from harness.ledger.facts import FlowSeen
from harness.report.fact_words import port

ELSEWHERE = "elsewhere"
"""The far end of a flow whose address no host of the lab has."""
_FIRST_EPHEMERAL_PORT = 32768  # net.ipv4.ip_local_port_range of Linux: what a reply goes to
_DNS_PORT = 53
_HTTPS_PORT = 443


class Kind(StrEnum):
    """What a band is for, in the order of the legend."""

    DIRECT = "direct"
    """From the node to what it must not speak to beside the tunnel."""
    WIREGUARD = "WireGuard"
    EGRESS = "from the exits"
    CONTROL = "control, DERP"
    STUN = "STUN"
    DNS = "DNS"
    OTHER = "other"


@dataclass(frozen=True)
class Band:
    """All flows of one kind between two hosts, with the replies."""

    source: str
    target: str
    kind: Kind
    packets: int
    """From source to target."""
    replies: int
    """From target to source."""
    octets: int
    """Both ways."""
    services: tuple[str, ...]
    """What was spoken to: `tcp/443`; for a far end that is no host, with its address."""


def bands(
    flows: Iterable[FlowSeen], topology: Topology, *, members_allowed: bool = False
) -> tuple[Band, ...]:
    """Bundle a flow book into bands.

    Args:
        flows: rows of the flow book; what no router forwards (neighbour discovery) is left out.
        topology: the lab that they were seen in.
        members_allowed: whether the node may speak WireGuard to members that are no exits, as one
            that serves to them does.

    Returns:
        One band for each pair of hosts and kind, direct ones first, then by packets.
    """
    book = _Book(tuple(flows), topology, members_allowed)
    gathered: defaultdict[tuple[str, str, Kind], list[tuple[FlowSeen, bool]]] = defaultdict(list)
    for flow in book.flows:
        if not stays_on_link(flow.destination):
            source, target, kind, reply = book.place(flow)
            gathered[source, target, kind].append((flow, reply))
    found = [_band(*ends, rows) for ends, rows in gathered.items()]
    kinds = list(Kind)
    return tuple(
        sorted(found, key=lambda b: (kinds.index(b.kind), -b.packets - b.replies, b.source, b.target))
    )


def _band(source: str, target: str, kind: Kind, rows: list[tuple[FlowSeen, bool]]) -> Band:
    asked = [flow for flow, reply in rows if not reply]
    services = {
        port(f.protocol, f.port) + (f" at {f.destination}" if target == ELSEWHERE else "") for f in asked
    }
    return Band(
        source=source,
        target=target,
        kind=kind,
        packets=sum(f.packets for f in asked),
        replies=sum(f.packets for f, reply in rows if reply),
        octets=sum(f.octets for f, _ in rows),
        services=tuple(sorted(services)),
    )


class _Book:
    """A flow book with what is needed to tell a row's purpose."""

    def __init__(self, flows: tuple[FlowSeen, ...], topology: Topology, members_allowed: bool) -> None:
        self.flows = flows
        self._members_allowed = members_allowed
        self._hosts: Mapping[str, Host] = {h.name: h for h in topology.hosts}
        self._internet = topology.internet
        self._names = {a: h.name for h in topology.hosts for a in h.addresses}
        self._names |= dict.fromkeys(topology.internet.addresses, topology.internet.name)
        self._node = topology.only(Role.NODE)
        self._exits = frozenset(h.name for h in topology.exits)
        self._bystanders = frozenset(h.name for h in topology.with_role(Role.BYSTANDER))
        self._acme = frozenset(h.name for h in topology.with_role(Role.ACME))
        self._expectation = _expectation(topology)
        self._heard = heard_from_members(flows, self._expectation)
        self._between: defaultdict[tuple[str, str, str], list[FlowSeen]] = defaultdict(list)
        for flow in flows:
            self._between[flow.source, flow.destination, flow.protocol].append(flow)

    def place(self, flow: FlowSeen) -> tuple[str, str, Kind, bool]:
        """Give the ends of the band that a row belongs to, its kind, and whether the row is a reply in it."""
        source, target = self._origin(flow), self._host_of(flow.destination)
        asked = self._asked_by(flow)
        if asked is not None:
            return target, source, self._kind(asked), True
        kind = self._kind(flow)
        if kind is Kind.WIREGUARD and self._rank(source) > self._rank(target):
            # A tunnel has no asking side: it is drawn from the one that uses the exit.
            return target, source, kind, True
        return source, target, kind, False

    def _origin(self, flow: FlowSeen) -> str:
        known = flow.wire in self._hosts or flow.wire == self._internet.name
        return flow.wire if known else self._host_of(flow.source)

    def _host_of(self, address: str) -> str:
        return self._names.get(address, ELSEWHERE)

    def _rank(self, name: str) -> tuple[bool, bool, str]:
        return (name in self._exits, name != self._node.name, name)

    def _asked_by(self, flow: FlowSeen) -> FlowSeen | None:
        """The row that this one answers: the same ends the other way round, to a port that is served."""
        from_node = self._origin(flow) == self._node.name
        if from_node and (self._purpose(flow) is not None or flow.source not in self._node.addresses):
            return None
        if flow.port < _FIRST_EPHEMERAL_PORT and (from_node or flow.protocol != "udp"):
            return None
        if self._service(flow) is not None:
            return None
        for other in self._between[flow.destination, flow.source, flow.protocol]:
            if self._service(other) is not None or 0 < other.port < _FIRST_EPHEMERAL_PORT:
                return other
        return self._scan_answered_by(flow)

    def _scan_answered_by(self, flow: FlowSeen) -> FlowSeen | None:
        """A row of a scan that this one answers: packets without ports, and no more of them came back.

        Without ports the flow book counts what comes by bystanders' wires (fixtures/router/flowbook.nft).
        """
        scans = [
            f
            for f in self._between[flow.destination, flow.source, flow.protocol]
            if f.port == 0 and f.wire in self._bystanders
        ]
        answers = self._between[flow.source, flow.destination, flow.protocol]
        answered = sum(f.packets for f in answers if f.port >= _FIRST_EPHEMERAL_PORT)
        return scans[0] if scans and answered <= sum(f.packets for f in scans) else None

    def _purpose(self, flow: FlowSeen) -> Purpose | None:
        return purpose(flow, self._expectation)

    def _service(self, flow: FlowSeen) -> Kind | None:
        """What a destination is known to serve on a port, whoever asks."""
        if flow.destination in self._expectation.control.addresses and (
            (flow.protocol, flow.port) in CONTROL_PORTS or flow.protocol in ("icmp", "icmpv6")
        ):
            return Kind.STUN if flow.protocol == "udp" else Kind.CONTROL
        if flow.destination in self._internet.addresses and flow.port == _DNS_PORT:
            return Kind.DNS
        return None

    def _kind(self, flow: FlowSeen) -> Kind:
        source, target = self._origin(flow), self._host_of(flow.destination)
        if source == self._node.name:
            return self._kind_from_node(flow, target)
        if (service := self._service(flow)) is not None:
            return service
        if flow.protocol == "udp" and self._in_tailnet(source) and self._in_tailnet(target):
            return Kind.WIREGUARD
        return Kind.EGRESS if source in self._exits else Kind.OTHER

    def _kind_from_node(self, flow: FlowSeen, target: str) -> Kind:
        why = self._purpose(flow)
        if why is Purpose.EXIT:
            return Kind.WIREGUARD
        if why is not None:
            return self._service(flow) or Kind.OTHER
        spoken = flow.protocol in ("udp", "icmp", "icmpv6")
        if self._members_allowed and spoken and self._in_tailnet(target):
            return Kind.WIREGUARD
        if answers(flow, self._heard):
            return Kind.WIREGUARD
        if target in self._acme and (flow.protocol, flow.port) == ("tcp", _HTTPS_PORT):
            # Whoever serves by HTTPS asks there for a certificate; no egress example has such a server.
            return Kind.OTHER
        return Kind.DIRECT

    def _in_tailnet(self, name: str) -> bool:
        host = self._hosts.get(name)
        return name == self._node.name or (host is not None and host.tailnet is not None)


def _expectation(topology: Topology) -> Expectation:
    """What any example may do at most: the picture has every exit's traffic for allowed."""
    control, node = topology.only(Role.CONTROL), topology.only(Role.NODE)
    return Expectation(
        subject="",
        tags=frozenset(),
        via=tuple(HostAddresses(h.name, h.addresses) for h in topology.exits),
        node=HostAddresses(node.name, node.addresses),
        control=HostAddresses(control.name, control.addresses),
        resolver=HostAddresses(topology.internet.name, topology.internet.addresses),
        hosts=tuple(HostAddresses(h.name, h.addresses) for h in topology.hosts),
        members=topology.members,
    )
