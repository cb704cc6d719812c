"""`egress.no_direct_packets`: what leaves the node's wire serves the tailnet, and goes nowhere else."""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum

from harness.claims.addresses import family, is_one_host, stays_on_link
from harness.claims.lookups import (
    Flows,
    asked_by_node,
    foreign_names,
    goes_to_resolver,
    node_flows,
    say_names,
)
from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.claims.wording import count, listing
from harness.ledger.episodes import AS_IT_STANDS, CONTROL
from harness.ledger.facts import FlowSeen, PacketCaptured, RequestSeen
from harness.ledger.ledger import History, Observation

CONTROL_PORTS = frozenset({("tcp", 443), ("tcp", 80), ("udp", 3478)})
"""The control protocol and DERP; tailscaled tries its control upgrade on 80 too; STUN."""
WITNESSED = tuple((kind, protocol) for kind in ("IPv4", "IPv6") for protocol in ("tcp", "udp"))
"""What the control must have shown the flow book to see."""
Heard = Mapping[tuple[str, str], int]
"""Packets by (source, destination)."""


class Purpose(StrEnum):
    """Why a packet may leave the node directly."""

    CONTROL = "control server"
    EXIT = "exit"
    RESOLVER = "resolver"
    HOUSEKEEPING = "the link itself"


def purpose(flow: FlowSeen, expectation: Expectation) -> Purpose | None:
    """Give why a flow of the node's wire is allowed, or None where it is not.

    It is told by the destination alone: a sender can forge its own address, not where its packet goes.
    """
    if flow.protocol == "icmpv6" and stays_on_link(flow.destination):
        # Neighbour and router discovery, group membership: the kernel's own, and no router forwards it.
        return Purpose.HOUSEKEEPING
    if flow.destination in expectation.control.addresses and (
        (flow.protocol, flow.port) in CONTROL_PORTS or flow.protocol in ("icmp", "icmpv6")
    ):
        return Purpose.CONTROL
    # The kernel answers WireGuard packets that still arrive when tailscaled has just ended, by ICMP.
    if flow.protocol in ("udp", "icmp", "icmpv6") and any(
        flow.destination in host.addresses for host in expectation.via + expectation.fallback
    ):
        return Purpose.EXIT
    if goes_to_resolver(flow, expectation):
        return Purpose.RESOLVER
    return None


def direct_flows(episode: History, expectation: Expectation) -> Flows:
    """Give the flows of the node's wire that no purpose allows, and that are no answers to members."""
    flows = node_flows(episode, expectation)
    heard = heard_from_members((f for _, f in episode.of(FlowSeen)), expectation)
    return [(o, f) for o, f in flows if purpose(f, expectation) is None and not answers(f, heard)]


def answers(flow: FlowSeen, heard: Heard) -> bool:
    """Whether a flow is what the kernel of the node answers to members that do not know yet who has left.

    A member of the tailnet keeps sending WireGuard packets to the port of a tailscaled that has ended, also
    to that of an earlier job, and each is answered by one ICMP "port unreachable" (RFC 1122, 4.1.3.1).

    Args:
        flow: a flow of the node's wire.
        heard: the UDP packets that members sent.
    """
    known = heard.get((flow.destination, flow.source), 0)
    return flow.protocol in ("icmp", "icmpv6") and flow.packets <= known


def heard_from_members(flows: Iterable[FlowSeen], expectation: Expectation) -> Heard:
    """Give the UDP packets that members of the tailnet sent, by (their address, its destination)."""
    heard: Counter[tuple[str, str]] = Counter()
    for flow in flows:
        # The wire cannot be forged; a source address that is not the member's own does not count.
        own = flow.wire in expectation.members and expectation.host_of(flow.source) == flow.wire
        if own and flow.protocol == "udp":
            heard[flow.source, flow.destination] += flow.packets
    return heard


def no_direct_packets(history: History, expectation: Expectation) -> Verdict:
    """Judge where the packets of the node's wire went, from the router's lossless flow book.

    Args:
        history: episodes as-it-stands and control, flow books closed.
        expectation: the control server, the exits, the resolver, the node and its infrastructure's names.

    Returns:
        Refuted by any flow with no allowed purpose, and by a name that only a direct look-up would need.
        Unproven when nothing was sent, or when the control lacks a foreign flow of one family and protocol.
    """
    episode = history.episode(AS_IT_STANDS)
    flows = node_flows(episode, expectation)
    witnesses = _witnesses(history.episode(CONTROL), expectation)
    controls = tuple(o for found in witnesses.values() for o in found)
    asked = asked_by_node(episode, expectation)
    names = foreign_names(asked, expectation)
    foreign = direct_flows(episode, expectation)
    faults = []
    if foreign:
        packets = sum(f.packets for _, f in foreign)
        faults.append(
            f"{count(len(foreign), 'flow')} of {len(flows)} ({count(packets, 'packet')}) left "
            f"{expectation.node.name} directly: {_table((f for _, f in foreign), expectation)}"
        )
    if names:
        faults.append(
            f"{expectation.node.name} asked its own resolver for names that are not the "
            f"infrastructure's: {say_names(names)}"
        )
    if faults:
        evidence = tuple(o for o, _ in foreign) + tuple(o for o, _ in names) + _captured(episode, foreign)
        return Verdict(Outcome.REFUTED, "; ".join(faults) + ".", evidence, controls)

    evidence = tuple(o for o, _ in flows) + tuple(o for o, _ in asked)
    missing = []
    if not any(
        f.destination in expectation.control.addresses and (f.protocol, f.port) == ("tcp", 443)
        for _, f in flows
    ):
        missing.append(f"no flow of {expectation.node.name} to the control server's tcp/443 as it stands")
    if not episode.of(RequestSeen):
        missing.append("no request arrived anywhere, so there was nothing that could have gone directly")
    if not asked and any(purpose(f, expectation) is Purpose.RESOLVER for _, f in flows):
        missing.append("packets reached the resolver, yet its query log shows none of them")
    if blind := [f"{kind} {protocol}" for (kind, protocol), found in witnesses.items() if not found]:
        missing.append(f"no foreign flow in the control for {', '.join(blind)}")
    if missing:
        return Verdict(Outcome.UNPROVEN, f"Not shown: {'; '.join(missing)}.", evidence, controls)
    return Verdict(
        Outcome.PROVEN,
        f"{_purposes(flows, expectation)}; nothing went elsewhere. In the control the flow book showed "
        f"{count(len(controls), 'foreign flow')}, of tcp and udp over IPv4 and IPv6.",
        evidence,
        controls,
    )


def _witnesses(control: History, expectation: Expectation) -> dict[tuple[str, str], list[Observation]]:
    """Give the control's foreign flows by family and protocol: how it looks when something goes directly."""
    allowed_hosts = (expectation.control, expectation.resolver, *expectation.via, *expectation.fallback)
    allowed = {a for host in allowed_hosts for a in host.addresses}
    found: dict[tuple[str, str], list[Observation]] = {key: [] for key in WITNESSED}
    for observation, flow in node_flows(control, expectation):
        key = (family(flow.destination), flow.protocol)
        if key in found and is_one_host(flow.destination) and flow.destination not in allowed:
            found[key].append(observation)
    return found


def _captured(episode: History, flows: Flows) -> tuple[Observation, ...]:
    keys = {(f.source, f.destination, f.protocol, f.port) for _, f in flows}
    return tuple(
        o for o, p in episode.of(PacketCaptured) if (p.source, p.destination, p.protocol, p.port) in keys
    )


def _table(flows: Iterable[FlowSeen], expectation: Expectation) -> str:
    """Say who was spoken to, by which protocol and port, with how many packets; the most first."""
    tally: Counter[str] = Counter()
    for flow in flows:
        host = expectation.host_of(flow.destination)
        who = host if host == flow.destination else f"{host} ({flow.destination})"
        sender = "" if flow.source in expectation.node.addresses else f" from {flow.source}"
        way = f"{flow.protocol}/{flow.port}" if flow.port else flow.protocol
        tally[f"{who} {way}{sender}"] += flow.packets
    return listing(
        (f"{row}, {count(n, 'packet')}" for row, n in sorted(tally.items(), key=lambda i: (-i[1], i[0]))),
        "; ",
    )


def _purposes(flows: Flows, expectation: Expectation) -> str:
    """Say how many packets served which purpose."""
    tally: Counter[str] = Counter()
    for _, flow in flows:
        tally[str(purpose(flow, expectation) or "answers to members")] += flow.packets
    said = listing(f"{name} {count(n, 'packet')}" for name, n in sorted(tally.items()))
    return f"All {count(len(flows), 'flow')} of {expectation.node.name} went where they may ({said})"
