"""The flow book: what nft counted, read as rows, and what came between two readings. Pure.

The table is fixtures/router/flowbook.nft; the format is nft's JSON (libnftables-json(5)).
"""

import json
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from harness.errors import LabError
from harness.ledger.facts import FlowBookClosed, FlowSeen

_WIRE_PREFIX = "w-"
_WITH_PORTS = 5
_ROWS = ("ports4", "ports6", "others4", "others6")


@dataclass(frozen=True)
class Flow:
    """What identifies a row."""

    wire: str
    source: str
    destination: str
    protocol: str
    port: int


@dataclass(frozen=True)
class Count:
    """What was counted on a row."""

    packets: int
    octets: int


@dataclass(frozen=True)
class FlowBook:
    """The book as it was read at one moment."""

    rows: dict[Flow, Count]
    lost: int
    """Packets that found no row."""

    def since(self, earlier: "FlowBook") -> tuple[list[FlowSeen], FlowBookClosed]:
        """What was counted after `earlier` was read, and whether the book is complete.

        Raises LabError when a row is gone or counts less: a counter never goes back.
        """
        seen = []
        for flow, count in earlier.rows.items():
            if self.rows.get(flow, Count(0, 0)).packets < count.packets:
                raise LabError(f"the flow book lost a row between two readings: {flow}")
        for flow, count in self.rows.items():
            before = earlier.rows.get(flow, Count(0, 0))
            if count.packets > before.packets:
                packets, octets = count.packets - before.packets, count.octets - before.octets
                seen.append(
                    FlowSeen(
                        flow.wire, flow.source, flow.destination, flow.protocol, flow.port, packets, octets
                    )
                )
        in_rows = sum(f.packets for f in seen)
        return seen, FlowBookClosed(in_rows, in_rows + self.lost - earlier.lost)


EMPTY = FlowBook({}, 0)


# Some versions of nft name protocols, others give IANA's numbers.
_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "ipv6-icmp": "icmpv6"}


def _protocol(value: str | int) -> str:
    return _PROTOCOLS.get(str(value), str(value))


def _row(element: dict[str, Any]) -> tuple[Flow, Count]:
    parts = element["val"]["concat"]
    wire, source, destination, protocol = parts[:4]
    flow = Flow(
        wire=str(wire).removeprefix(_WIRE_PREFIX),
        source=str(ip_address(source)),
        destination=str(ip_address(destination)),
        protocol=_protocol(protocol),
        port=int(parts[4]) if len(parts) == _WITH_PORTS else 0,
    )
    return flow, Count(element["counter"]["packets"], element["counter"]["bytes"])


def read(text: str) -> FlowBook:
    """Read `nft --json list table inet flowbook`. Raises LabError when it is not that table."""
    try:
        parts = json.loads(text)["nftables"]
        sets = [part["set"] for part in parts if part.get("set", {}).get("name") in _ROWS]
        lost = next(
            part["counter"]["packets"] for part in parts if part.get("counter", {}).get("name") == "lost"
        )
        rows = dict(_row(entry["elem"]) for s in sets for entry in s.get("elem", ()))
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise LabError(f"the flow book cannot be read: {error!r}", log=text[:400]) from error
    return FlowBook(rows, lost)
