"""Reads a capture file as facts, and says what is worth capturing. Pure."""

import io
from collections.abc import Iterator

import dpkt

from harness.errors import LabError
from harness.lab.topology import Role, Topology
from harness.ledger.facts import PacketCaptured

_EXCERPT = 120  # bytes of payload shown
_NEIGHBOUR_DISCOVERY = "(icmp6 and ip6[40] >= 133 and ip6[40] <= 137)"
"""RFC 4861's messages, which every IPv6 link carries."""
_PROTOCOLS = {dpkt.ip.IP_PROTO_TCP: "tcp", dpkt.ip.IP_PROTO_UDP: "udp", 1: "icmp", 58: "icmpv6"}


def foreign_to(topology: Topology) -> str:
    """The filter (pcap-filter(7)) for what a node has no business with: all but control, exits, resolver."""
    known = [topology.only(Role.CONTROL), *topology.exits]
    addresses = sorted({a for h in known for a in h.addresses} | topology.internet.addresses)
    return f"not ({' or '.join(f'host {a}' for a in addresses)}) and not {_NEIGHBOUR_DISCOVERY}"


def read(pcap: bytes) -> Iterator[PacketCaptured]:
    """Every IP packet of an Ethernet capture, in order. Raises LabError for another file, or one cut off."""
    try:
        for at, frame in dpkt.pcap.Reader(io.BytesIO(pcap)):
            if packet := _ip_packet(frame):
                yield _described(float(at), frame, packet)
    except (ValueError, dpkt.UnpackError) as error:
        raise LabError(f"the capture's file cannot be read to its end: {error!r}") from error


def _ip_packet(frame: bytes) -> dpkt.ip.IP | dpkt.ip6.IP6 | None:
    try:
        packet = dpkt.ethernet.Ethernet(frame).data
    except dpkt.UnpackError:  # no frame of Ethernet, so it is no IP either
        return None
    return packet if isinstance(packet, dpkt.ip.IP | dpkt.ip6.IP6) else None


def _described(at: float, frame: bytes, packet: dpkt.ip.IP | dpkt.ip6.IP6) -> PacketCaptured:
    inner = packet.data
    payload = getattr(inner, "data", b"")
    return PacketCaptured(
        captured_at=at,
        source=dpkt.utils.inet_to_str(packet.src),
        destination=dpkt.utils.inet_to_str(packet.dst),
        # For IPv6, what follows the extension headers.
        protocol=_PROTOCOLS.get(packet.p, str(packet.p)),
        source_port=getattr(inner, "sport", 0),
        port=getattr(inner, "dport", 0),
        octets=len(frame),
        payload=_readable(payload) if isinstance(payload, bytes) else "",
    )


def _readable(payload: bytes) -> str:
    return "".join(chr(b) if 32 <= b < 127 else "." for b in payload[:_EXCERPT])  # noqa: PLR2004 - printable ASCII
