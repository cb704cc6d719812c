"""A capture's file as facts, and the filter for what is worth capturing."""

import io
import shutil
import socket
import subprocess

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.assembly import default_topology
from harness.errors import LabError
from harness.lab import topology_file
from harness.ledger.facts import PacketCaptured
from harness.probes import packets
from tests.lab.build import SOUND

NODE4, ECHO4 = "203.0.113.10", "198.18.80.80"
NODE6, ECHO6 = "2001:db8:113::10", "2001:db8:80::80"
SHIPPED = topology_file.load(default_topology())


def pcap(*frames: bytes) -> bytes:
    file = io.BytesIO()
    writer = dpkt.pcap.Writer(file)
    for number, frame in enumerate(frames):
        writer.writepkt(frame, ts=1000.25 + number)
    return file.getvalue()


def ip4(payload: object, protocol: int, source: str = NODE4, destination: str = ECHO4, **more: int) -> bytes:
    packet = dpkt.ip.IP(
        src=socket.inet_aton(source), dst=socket.inet_aton(destination), p=protocol, data=payload, **more
    )
    packet.len = len(packet)
    return bytes(dpkt.ethernet.Ethernet(type=dpkt.ethernet.ETH_TYPE_IP, data=packet))


def ip6(payload: bytes, header: int, source: str = NODE6, destination: str = ECHO6) -> bytes:
    packet = dpkt.ip6.IP6(
        src=socket.inet_pton(socket.AF_INET6, source),
        dst=socket.inet_pton(socket.AF_INET6, destination),
        nxt=header,
        hlim=64,
        plen=len(payload),
    )
    return bytes(dpkt.ethernet.Ethernet(type=dpkt.ethernet.ETH_TYPE_IP6, data=bytes(packet)[:40] + payload))


TCP = dpkt.tcp.TCP(sport=40000, dport=443, data=b"GET / HTTP/1.1\r\n")
UDP = dpkt.udp.UDP(sport=40001, dport=53, data=b"\x00\x01api")
UDP.ulen = len(UDP)


def read(*frames: bytes) -> list[PacketCaptured]:
    return list(packets.read(pcap(*frames)))


def test_tcp_over_ipv4() -> None:
    frame = ip4(TCP, 6)
    assert read(frame) == [
        PacketCaptured(1000.25, NODE4, ECHO4, "tcp", 40000, 443, len(frame), "GET / HTTP/1.1..")
    ]


def test_udp_over_ipv6() -> None:
    (seen,) = read(ip6(bytes(UDP), 17))
    assert (seen.source, seen.destination, seen.protocol) == (NODE6, ECHO6, "udp")
    assert (seen.source_port, seen.port, seen.payload) == (40001, 53, "..api")


@pytest.mark.parametrize(
    ("frame", "protocol"),
    [
        (ip4(bytes(dpkt.icmp.ICMP(type=8, data=dpkt.icmp.ICMP.Echo(id=1, seq=1))), 1), "icmp"),
        (ip6(bytes(dpkt.icmp6.ICMP6(type=128, data=b"\0\1\0\1")), 58), "icmpv6"),
        (ip4(b"\0\0\x08\0", 47), "47"),
        (ip6(b"x" * 20, 253), "253"),
    ],
)
def test_protocols_without_ports(frame: bytes, protocol: str) -> None:
    (seen,) = read(frame)
    assert (seen.protocol, seen.source_port, seen.port) == (protocol, 0, 0)


def test_extension_headers_are_looked_past() -> None:
    hop_by_hop = b"\x11\x00\x05\x02\x00\x00\x01\x00" + bytes(UDP)
    (seen,) = read(ip6(hop_by_hop, 0))
    assert (seen.protocol, seen.port) == ("udp", 53)


def test_a_later_fragment_has_no_ports() -> None:
    fragment = dpkt.ip.IP(
        src=socket.inet_aton(NODE4), dst=socket.inet_aton(ECHO4), p=17, data=b"\x01\xbb\x01\xbb rest"
    )
    fragment.offset = 1480
    fragment.len = len(fragment)
    (seen,) = read(bytes(dpkt.ethernet.Ethernet(type=dpkt.ethernet.ETH_TYPE_IP, data=fragment)))
    assert (seen.protocol, seen.source_port, seen.port) == ("udp", 0, 0)


def test_a_vlan_hides_nothing() -> None:
    plain = ip4(TCP, 6)
    tagged = plain[:12] + b"\x81\x00\x00\x2a" + plain[12:]
    (seen,) = read(tagged)
    assert (seen.source, seen.port) == (NODE4, 443)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00" * 13,
        b"\xff" * 60,
        bytes(dpkt.ethernet.Ethernet(type=dpkt.ethernet.ETH_TYPE_ARP, data=dpkt.arp.ARP())),
        b"\x00" * 12 + b"\x08\x00" + b"\x45",
        b"\x00" * 12 + b"\x86\xdd" + b"\x60\x00",
        b"\x00" * 12 + b"\x81\x00",
    ],
    ids=["empty", "short", "ones", "ARP", "cut IPv4", "cut IPv6", "cut VLAN"],
)
def test_what_is_no_ip_is_passed_over(frame: bytes) -> None:
    around = ip4(TCP, 6)
    assert [p.port for p in read(around, frame, around)] == [443, 443]


@given(frames=st.lists(st.binary(max_size=90), max_size=4))
def test_no_frame_keeps_the_next_from_being_read(frames: list[bytes]) -> None:
    assert read(*frames, ip4(TCP, 6))[-1].port == 443


@given(payload=st.binary(max_size=300))
def test_a_payload_is_shown_as_one_short_line(payload: bytes) -> None:
    (seen,) = read(ip4(dpkt.tcp.TCP(dport=1, data=payload), 6))
    assert len(seen.payload) == min(len(payload), 120)
    assert seen.payload.isprintable()
    assert seen.payload.isascii()


def test_packets_come_in_the_order_of_the_file() -> None:
    assert [p.captured_at for p in read(ip4(TCP, 6), ip4(TCP, 6))] == [1000.25, 1001.25]


def test_an_empty_capture_is_fine() -> None:
    assert read() == []


@pytest.mark.parametrize("content", [b"", b"not a capture at all, by no means", pcap()[:10]])
def test_another_file_is_an_error_of_the_lab(content: bytes) -> None:
    with pytest.raises(LabError, match="capture's file cannot be read"):
        list(packets.read(content))


def test_a_file_that_is_cut_off_is_an_error_of_the_lab() -> None:
    whole = pcap(ip4(TCP, 6), ip4(TCP, 6))
    with pytest.raises(LabError, match="cannot be read to its end"):
        list(packets.read(whole[: -len(ip4(TCP, 6)) - 5]))


TCPDUMP = pytest.mark.skipif(not shutil.which("tcpdump"), reason="needs tcpdump")


def captured(expression: str, tmp_file: str, *frames: bytes) -> int:
    """How many of these frames tcpdump itself lets through the filter."""
    content = pcap(*frames)
    done = subprocess.run(
        ["tcpdump", "-r", "-", "-w", tmp_file, expression], input=content, capture_output=True, check=True
    )
    assert done.returncode == 0
    with open(tmp_file, "rb") as kept:  # noqa: PTH123 - a path for tcpdump as well
        return len(list(dpkt.pcap.Reader(kept)))


@TCPDUMP
def test_tcpdump_takes_the_filter() -> None:
    for topology in (SHIPPED, SOUND):
        expression = packets.foreign_to(topology)
        subprocess.run(
            ["tcpdump", "-y", "EN10MB", "-d", expression], capture_output=True, check=True, text=True
        )


def neighbour(kind: int) -> bytes:
    return ip6(bytes([kind, 0, 0, 0]) + b"\0" * 20, 58, destination="ff02::1")


FOREIGN = [
    ip4(TCP, 6),
    ip6(bytes(UDP), 17),
    ip4(UDP, 17, destination="8.8.8.8"),
    ip6(bytes(UDP), 17, destination="2001:4860:4860::8888"),
    ip6(bytes([128, 0, 0, 0]) + b"\0" * 4, 58),
    ip4(TCP, 6, source=ECHO4, destination=NODE4),
    ip4(b"\0" * 8, 1, destination="10.20.0.11"),
]
KNOWN = [
    *(ip4(UDP, 17, destination=str(h.v4[0])) for h in SHIPPED.exits),
    *(ip6(bytes(UDP), 17, destination=str(h.v6[0])) for h in SHIPPED.exits),
    ip4(TCP, 6, destination="198.51.100.10"),
    ip4(TCP, 6, source="198.51.100.10", destination=NODE4),
    ip6(bytes(TCP), 6, destination="2001:db8:10::10"),
    ip4(UDP, 17, destination="198.51.100.53"),
    ip6(bytes(UDP), 17, destination="2001:db8:53::53"),
    *map(neighbour, range(133, 138)),
]


@TCPDUMP
@pytest.mark.parametrize("frame", FOREIGN)
def test_the_filter_lets_what_is_foreign_through(frame: bytes, tmp_path: object) -> None:
    assert captured(packets.foreign_to(SHIPPED), f"{tmp_path}/kept.pcap", frame) == 1


@TCPDUMP
@pytest.mark.parametrize("frame", KNOWN)
def test_the_filter_holds_back_what_is_known(frame: bytes, tmp_path: object) -> None:
    assert captured(packets.foreign_to(SHIPPED), f"{tmp_path}/kept.pcap", frame) == 0
