"""What the gate reads of strangers: heads of requests, handshakes of SOCKS5, answers of a resolver."""

import asyncio
import ipaddress
import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.toolkit import programs

EXAMPLES = settings(max_examples=200, deadline=None, derandomize=True)


doors, way = programs.script("gate_doors"), programs.script("gate_way")
HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,8}){0,3}", fullmatch=True)
PORTS = st.integers(1, 65535)


@given(host=HOSTS, port=PORTS)
@EXAMPLES
def test_connect_asks_for_what_it_names(host: str, port: int) -> None:
    asked = doors.read_request(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (asked.host, asked.port, asked.head) == (host, port, None)


@given(host=HOSTS, port=PORTS, path=st.from_regex(r"(/[a-z0-9%._~-]{0,9}){0,4}", fullmatch=True), query=HOSTS)
@EXAMPLES
def test_a_whole_url_goes_on_as_its_path(host: str, port: int, path: str, query: str) -> None:
    head = f"GET http://{host}:{port}{path}?{query} HTTP/1.1\r\nHost: other\r\nAccept: */*\r\n\r\n".encode()
    asked = doors.read_request(head)
    assert (asked.host, asked.port, asked.body) == (host, port, 0)
    assert (
        asked.head
        == (
            f"GET {path or '/'}?{query} HTTP/1.1\r\nAccept: */*\r\nHost: {host}:{port}\r\n"
            "Connection: close\r\n\r\n"
        ).encode()
    )


def test_what_is_of_the_hop_stays_here() -> None:
    asked = doors.read_request(
        b"POST http://a:secret@b/ HTTP/1.0\r\nProxy-Authorization: Basic x\r\n"
        b"Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nX-Yours: 2\r\n"
        b"Content-Length: 3\r\nProxy-Connection: keep-alive\r\n\r\n"
    )
    assert asked.body == 3
    assert asked.head == (
        b"POST / HTTP/1.0\r\nX-Yours: 2\r\nContent-Length: 3\r\nHost: b\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1",
        b"GET https://a/ HTTP/1.1",
        b"GET ftp://a/ HTTP/1.1",
        b"GET http:///x HTTP/1.1",
        b"GET http://a:99999/ HTTP/1.1",
        b"GET http://a/\tb HTTP/1.1",
        b"GET http://a b/ HTTP/1.1",
        b"CONNECT a HTTP/1.1",
        b"CONNECT a:0 HTTP/1.1",
        b"CONNECT a:1/x HTTP/1.1",
        b"CONNECT a$b:1 HTTP/1.1",
        b"CONNECT " + b"a" * 254 + b":1 HTTP/1.1",
        b"POST http://a/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2",
        b"POST http://a/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        b"POST http://a/ HTTP/1.1\r\nContent-Length: -1",
        b"GET http://a/ HTTP/1.1\r\nX: 1\r\n 2",
        b"GET http://a/ HTTP/1.1\r\nX: 1\nHost: b",
        b"GET http://a/ HTTP/1.1\r\nX : 1",
        b"",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(head: bytes) -> None:
    with pytest.raises(doors.BadRequestError):
        doors.read_request(head + b"\r\n\r\n")


@given(head=st.binary(max_size=200))
@example(b"CONNECT [::1:1 HTTP/1.1\r\n\r\n")
@example(b"GET http://[x]/ HTTP/1.1\r\n\r\n")
@EXAMPLES
def test_any_bytes_are_a_request_or_a_bad_one(head: bytes) -> None:
    for whole in (
        head,
        b"CONNECT " + head + b" HTTP/1.1\r\n\r\n",
        b"GET http://" + head + b" HTTP/1.1\r\n\r\n",
    ):
        try:
            asked = doors.read_request(whole)
        except doors.BadRequestError:
            continue
        assert doors.checked_host(asked.host) == asked.host
        assert 0 < asked.port < 1 << 16


def _handshake(sent: bytes) -> tuple[Any, bytes]:
    """What a handshake comes to, and what was answered on the way."""
    said = bytearray()

    async def shake() -> Any:  # noqa: ANN401 - an outcome or an error
        reader = asyncio.StreamReader()
        reader.feed_data(sent)
        reader.feed_eof()
        try:
            return await doors.read_socks(reader, said.extend)
        except (doors.BadRequestError, EOFError) as error:
            return error

    return asyncio.run(shake()), bytes(said)


@given(host=HOSTS, port=PORTS, methods=st.binary(max_size=5))
@EXAMPLES
def test_a_name_by_socks(host: str, port: int, methods: bytes) -> None:
    offered = bytes([len(methods) + 1]) + methods + b"\0"
    asked = b"\5\1\0\3" + bytes([len(host)]) + host.encode() + struct.pack(">H", port)
    assert _handshake(b"\5" + offered + asked) == ((host, port), b"\5\0")


@given(address=st.ip_addresses(), port=PORTS)
@EXAMPLES
def test_an_address_by_socks(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    kind = b"\1" if address.version == 4 else b"\4"
    asked = b"\5\1\0" + kind + address.packed + struct.pack(">H", port)
    assert _handshake(b"\5\1\0" + asked) == ((str(address), port), b"\5\0")


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (b"\4\1\0\x50\x7f\0\0\1\0", 1),
        (b"\5\1\2", -1),
        (b"\5\1\0\5\2\0\1\x7f\0\0\1\0\x50", 7),
        (b"\5\1\0\5\3\0\1\x7f\0\0\1\0\x50", 7),
        (b"\5\1\0\5\1\0\2\x7f\0\0\1\0\x50", 8),
        (b"\5\1\0\5\1\0\3\3a b\0\x50", 4),
        (b"\5\1\0\5\1\0\3\0\0\x50", 4),
    ],
)
def test_what_socks_is_not_spoken_here(sent: bytes, reply: int) -> None:
    outcome, _ = _handshake(sent)
    assert isinstance(outcome, doors.BadRequestError)
    assert outcome.reply == reply


@given(sent=st.binary(max_size=60))
@EXAMPLES
def test_any_bytes_are_a_handshake_or_none(sent: bytes) -> None:
    for whole in (sent, b"\5\1\0" + sent, b"\5\1\0\5\1\0" + sent):
        outcome, _ = _handshake(whole)
        assert isinstance(outcome, tuple | doors.BadRequestError | EOFError)


def _record(kind: int, ttl: int, data: bytes) -> bytes:
    """A record whose name points at the question's."""
    return b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


@given(name=HOSTS, fours=st.lists(st.ip_addresses(v=4), max_size=4), ttl=st.integers(0, 1 << 20))
@EXAMPLES
def test_a_resolvers_answer(name: str, fours: list[ipaddress.IPv4Address], ttl: int) -> None:
    asked = way.question(name, 1)
    alias = _record(5, ttl + 1, b"\1x\xc0\x0c")
    message = struct.pack(">6H", 0, 0x8180, 1, len(fours) + 1, 0, 0) + asked[12:] + alias
    message += b"".join(_record(1, ttl, address.packed) for address in fours)
    assert way.answers(message) == (fours, ttl if fours else 0)


@given(message=st.binary(max_size=120))
@EXAMPLES
def test_any_bytes_are_an_answer_or_none(message: bytes) -> None:
    try:
        found, keep = way.answers(message)
    except ValueError:
        return
    assert isinstance(found, list)
    assert keep >= 0


@pytest.mark.parametrize("name", ["", "a..b", "a" * 64, "é.example", ".".join(["a" * 60] * 5)])
def test_what_is_no_name_is_not_asked(name: str) -> None:
    with pytest.raises(ValueError, match=r"name|ascii"):
        way.question(name, 1)
