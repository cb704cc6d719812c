"""The flow book: nft's JSON as rows, and what came between two readings."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import LabError
from harness.lab import flowbook
from harness.lab.flowbook import EMPTY, Count, Flow, FlowBook
from harness.ledger.facts import FlowSeen
from harness.run import places


def element(*parts: str | int, packets: int = 1, octets: int = 100) -> dict[str, object]:
    return {"elem": {"val": {"concat": list(parts)}, "counter": {"packets": packets, "bytes": octets}}}


def table(*elements: dict[str, object], lost: int = 0) -> str:
    """As nft 1.0 and 1.1 write it: an empty set has no `elem` at all."""
    parts: list[dict[str, object]] = [
        {"metainfo": {"version": "1.1.3", "json_schema_version": 1}},
        {"table": {"family": "inet", "name": "flowbook", "handle": 1}},
        {"counter": {"name": "other", "packets": 99, "bytes": 99}},
        {"counter": {"family": "inet", "name": "lost", "table": "flowbook", "packets": lost, "bytes": 9}},
        {"set": {"name": "ports4", **({"elem": list(elements)} if elements else {})}},
        {"set": {"name": "ports6"}},
        {"chain": {"name": "write"}},
        {"rule": {"chain": "write", "expr": [{"counter": "lost"}]}},
    ]
    return json.dumps({"nftables": parts})


V4 = ("198.51.100.1", "198.18.80.80")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (6, "tcp"),
        ("tcp", "tcp"),
        (17, "udp"),
        ("udp", "udp"),
        (1, "icmp"),
        ("icmp", "icmp"),
        (58, "icmpv6"),
        ("ipv6-icmp", "icmpv6"),
        ("icmpv6", "icmpv6"),
        (47, "47"),
        ("sctp", "sctp"),
    ],
)
def test_protocols_by_name_and_by_number(written: str | int, read: str) -> None:
    (flow,) = flowbook.read(table(element("w-node", *V4, written, 443))).rows
    assert flow == Flow("node", *V4, read, 443)


def test_a_row_without_a_port() -> None:
    book = flowbook.read(table(element("w-node", "2001:DB8:0:0::1", "ff02::16", "ipv6-icmp", packets=3)))
    assert book.rows == {Flow("node", "2001:db8::1", "ff02::16", "icmpv6", 0): Count(3, 100)}


def test_a_wire_is_known_by_its_host() -> None:
    flows = flowbook.read(table(element("w-exit-a", *V4, "tcp", 1), element("eth0", *V4, "tcp", 1))).rows
    assert {f.wire for f in flows} == {"exit-a", "eth0"}


def test_an_empty_book() -> None:
    assert flowbook.read(table(lost=7)) == FlowBook({}, 7)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Error: No such file or directory",
        "[]",
        "{}",
        '{"nftables": []}',
        '{"nftables": [{"counter": {"name": "lost"}}]}',
        table(element("w-node", "not an address", V4[1], "tcp", 1)),
        table(element("w-node", *V4)),
        table(element("w-node", *V4, "tcp", "http-alt?")),
        table({"elem": {"val": {"concat": ["w-node", *V4, "tcp", 1]}}}),
    ],
)
def test_what_is_no_book_is_an_error_of_the_lab(text: str) -> None:
    with pytest.raises(LabError, match="the flow book cannot be read"):
        flowbook.read(text)


FLOW = Flow("node", *V4, "tcp", 443)


def test_since_gives_the_difference() -> None:
    before = FlowBook({FLOW: Count(2, 200)}, lost=0)
    after = FlowBook({FLOW: Count(5, 700), Flow("node", *V4, "udp", 7): Count(1, 50)}, lost=0)
    seen, closed = after.since(before)
    assert seen == [FlowSeen("node", *V4, "tcp", 443, 3, 500), FlowSeen("node", *V4, "udp", 7, 1, 50)]
    assert (closed.packets_in_rows, closed.packets_in_all) == (4, 4)


def test_a_row_that_stood_still_is_not_seen() -> None:
    book = FlowBook({FLOW: Count(2, 200)}, lost=3)
    seen, closed = book.since(book)
    assert seen == []
    assert (closed.packets_in_rows, closed.packets_in_all) == (0, 0)


def test_lost_packets_show() -> None:
    _, closed = FlowBook({FLOW: Count(2, 200)}, lost=5).since(FlowBook({}, lost=4))
    assert (closed.packets_in_rows, closed.packets_in_all) == (2, 3)


def test_a_book_that_forgot_a_row_is_not_believed() -> None:
    with pytest.raises(LabError, match="lost a row"):
        FlowBook({}, 0).since(FlowBook({FLOW: Count(2, 200)}, 0))
    with pytest.raises(LabError, match="lost a row"):
        FlowBook({FLOW: Count(1, 100)}, 0).since(FlowBook({FLOW: Count(2, 200)}, 0))


FLOWS = st.builds(
    Flow,
    st.sampled_from(["node", "client"]),
    st.just(V4[0]),
    st.sampled_from([V4[1], "198.18.0.1"]),
    st.sampled_from(["tcp", "udp"]),
    st.integers(1, 4),
)
COUNTS = st.builds(Count, st.integers(1, 9), st.integers(20, 9000))
GROWTH = st.dictionaries(FLOWS, COUNTS)


def grown(book: FlowBook, by: dict[Flow, Count], lost: int) -> FlowBook:
    rows = dict(book.rows)
    for flow, more in by.items():
        had = rows.get(flow, Count(0, 0))
        rows[flow] = Count(had.packets + more.packets, had.octets + more.octets)
    return FlowBook(rows, book.lost + lost)


@given(first=GROWTH, second=GROWTH, lost=st.integers(0, 3), more_lost=st.integers(0, 3))
def test_rows_and_lost_make_all(
    first: dict[Flow, Count], second: dict[Flow, Count], lost: int, more_lost: int
) -> None:
    early = grown(EMPTY, first, lost)
    late = grown(early, second, more_lost)
    seen, closed = late.since(early)
    assert closed.packets_in_rows == sum(f.packets for f in seen)
    assert closed.packets_in_all - closed.packets_in_rows == more_lost
    assert {Flow(f.wire, f.source, f.destination, f.protocol, f.port) for f in seen} == set(second)


@given(first=GROWTH, second=GROWTH, third=GROWTH)
def test_two_stretches_are_as_much_as_one(
    first: dict[Flow, Count], second: dict[Flow, Count], third: dict[Flow, Count]
) -> None:
    one = grown(EMPTY, first, 1)
    two = grown(one, second, 0)
    three = grown(two, third, 2)
    parts = two.since(one)[1], three.since(two)[1]
    whole = three.since(one)[1]
    assert sum(p.packets_in_rows for p in parts) == whole.packets_in_rows
    assert sum(p.packets_in_all for p in parts) == whole.packets_in_all


SEND = """
import socket
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    sender = socket.socket(family, socket.SOCK_DGRAM)
    for _ in range(3):
        sender.sendto(b"token", (address, 77))
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="needs root and nft")
def test_the_shipped_table_in_a_real_kernel(tmp_path: Path) -> None:
    rules = (places.fixtures() / "router" / "flowbook.nft").read_text(encoding="utf-8")
    # The loopback is the only device of a fresh network namespace, so here it is counted as well.
    file = tmp_path / "flowbook.nft"
    file.write_text(rules.replace('iifname "lo" accept\n', ""), encoding="utf-8")
    script = 'ip link set lo up && nft -f "$0" && python3 -c "$1" && nft --json list table inet flowbook'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, str(file), SEND], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no network namespace with nft here: {done.stderr.strip()}")
    book = flowbook.read(done.stdout)
    assert book.lost == 0
    assert book.rows[Flow("lo", "127.0.0.1", "127.0.0.1", "udp", 77)] == Count(3, 99)
    assert book.rows[Flow("lo", "::1", "::1", "udp", 77)] == Count(3, 159)
    # Nobody listens there, and the kernel says so.
    assert book.rows[Flow("lo", "127.0.0.1", "127.0.0.1", "icmp", 0)].packets >= 1
    assert book.rows[Flow("lo", "::1", "::1", "icmpv6", 0)].packets >= 1
