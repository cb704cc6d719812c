"""The gate's doors: the HTTP proxy and the SOCKS5 proxy that a worker speaks with.

HTTP (RFC 9110, 9112): CONNECT, and requests with a whole http:// URL, one for each connection, so that each
is looked at by itself. SOCKS5 (RFC 1928): CONNECT, without a password: who reaches loopback is let in, as by
tailscaled's own proxies. What is refused is told in the protocol's own way, with the reason where it has room
for one. Nothing of a URL but its host is ever told or kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import urlsplit

from gate_way import BUFFER, NoWayError, Stream

HANDSHAKE_SECONDS = 10.0
DIAL_SECONDS = 20.0
# tailscaled ends a tunnel when one side has ended its half (ipn/localapi, serveDial): a client that closes
# its half behind a question, as BusyBox's wget does with https, is given this long for the answer.
HALF_SECONDS = 10.0
_TOO_LONG = 1 << 62
_LONGEST_NAME = 253
_REQUEST_LINE = re.compile(rb"([A-Z]+) ([!-~]+) (HTTP/1\.[01])")
# Of the hop from the client to here (RFC 9110, 7.6.1).
_OF_THE_HOP = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"proxy-authorization", b"te", b"upgrade")
)


class RefusedError(Exception):
    """The gate is closed; the text says why."""


class BadRequestError(Exception):
    """A client does not speak the protocol; `reply` is what SOCKS5 says to that, or an HTTP status."""

    def __init__(self, text: str, reply: int) -> None:
        super().__init__(text)
        self.reply = reply


T = TypeVar("T")
Connect = Callable[[str, int], Awaitable[Stream]]


@dataclass(frozen=True)
class Asked:
    """What a client of the HTTP proxy asks for."""

    host: str
    port: int
    # What goes ahead to the destination; None for CONNECT, which sends nothing of its own.
    head: bytes | None = None
    # How many bytes of a body follow it.
    body: int = _TOO_LONG


def read_request(head: bytes) -> Asked:
    """What the head of a request asks for. Raises BadRequestError."""
    first, *lines = head.rstrip(b"\r\n").split(b"\r\n")
    said = _REQUEST_LINE.fullmatch(first)
    if not said:
        raise BadRequestError("this is no HTTP/1 request", 400)
    method, text = said[1], said[2].decode("ascii")
    connect = method == b"CONNECT"
    try:
        url = urlsplit(f"//{text}" if connect else text)
        host, port = url.hostname or "", url.port
    except ValueError as error:
        raise BadRequestError("there is no host and port in the request", 400) from error
    if connect:
        if not port or url.path or url.query:
            raise BadRequestError("CONNECT needs HOST:PORT", 400)
        return Asked(checked_host(host), port)
    if url.scheme != "http":
        raise BadRequestError("this is a proxy: it takes CONNECT, and http:// URLs", 400)
    if port == 0:
        raise BadRequestError("there is no host and port in the request", 400)
    kept, length = _headers(lines)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    ahead = [b" ".join((method, path.encode("ascii"), said[3])), *kept]
    ahead.append(b"Host: " + url.netloc.rpartition("@")[2].encode("ascii"))
    ahead.append(b"Connection: close")
    return Asked(checked_host(host), port or 80, b"\r\n".join(ahead) + b"\r\n\r\n", length)


def _headers(lines: list[bytes]) -> tuple[list[bytes], int]:
    """The headers that go on, and the length of the body. Raises BadRequestError."""
    named = []
    for line in lines:
        name, colon, value = line.partition(b":")
        # A line that goes on from the last one, or holds half a line's end, is read otherwise by others.
        if not colon or not name or name != name.strip() or b"\n" in line or b"\r" in line or b" " in name:
            raise BadRequestError("a header that is none", 400)
        named.append((name.lower(), value.strip(), line))
    lengths = {value for name, value, _ in named if name == b"content-length"}
    pieces = any(name == b"transfer-encoding" for name, _, _ in named)
    if len(lengths) > 1 or (lengths and pieces) or not all(value.isdigit() for value in lengths):
        raise BadRequestError("it is not clear how long the body is", 400)
    hop = _OF_THE_HOP | {
        item.strip().lower()
        for name, value, _ in named
        if name in (b"connection", b"proxy-connection")
        for item in value.split(b",")
    }
    # Those that say where the body ends go on, whatever `Connection` calls them.
    hop -= {b"content-length", b"transfer-encoding"}
    kept = [line for name, _, line in named if name not in hop and name != b"host"]
    return kept, _TOO_LONG if pieces else int(next(iter(lengths), b"0"))


def checked_host(host: str) -> str:
    """A host name or address, as it is. Raises BadRequestError where it is neither."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        allowed = host.isascii() and host.replace("-", "").replace("_", "").replace(".", "").isalnum()
        if not allowed or len(host) > _LONGEST_NAME:
            raise BadRequestError("there is no host in the request", 400) from None
    return host


def http_answer(status: int, text: str) -> bytes:
    """A refusal that a person can read."""
    name = HTTPStatus(status).phrase
    body = f"gate: {text}\n".encode("ascii", "replace")
    return (
        f"HTTP/1.1 {status} {name}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body


_SOCKS, _CONNECT, _IPV4, _NAME, _IPV6 = 5, 1, 1, 3, 4
CANNOT, NOT_ALLOWED, UNREACHABLE, NO_COMMAND, NO_ADDRESS = 1, 2, 4, 7, 8


def socks_reply(code: int) -> bytes:
    """A reply of SOCKS5; the address bound is nobody's business, and 0."""
    return struct.pack(">4B4sH", _SOCKS, code, 0, 1, bytes(4), 0)


async def read_socks(reader: asyncio.StreamReader, write: Callable[[bytes], None]) -> tuple[str, int]:
    """Shake hands, and give the host and port asked for. Raises BadRequestError, EOFError."""
    version, count = await reader.readexactly(2)
    if version != _SOCKS:
        raise BadRequestError("this is no SOCKS5", CANNOT)
    if 0 not in await reader.readexactly(count):
        write(b"\x05\xff")
        raise BadRequestError("the client insists on a password", -1)
    write(b"\x05\x00")
    version, command, _, kind = await reader.readexactly(4)
    if version != _SOCKS:
        raise BadRequestError("this is no SOCKS5", CANNOT)
    if kind == _NAME:
        name = await reader.readexactly((await reader.readexactly(1))[0])
        host = name.decode("latin-1")
    elif kind in (_IPV4, _IPV6):
        host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == _IPV4 else 16)))
    else:
        raise BadRequestError("an address of an unknown kind", NO_ADDRESS)
    (port,) = struct.unpack(">H", await reader.readexactly(2))
    if command != _CONNECT:
        raise BadRequestError("only CONNECT is spoken here", NO_COMMAND)
    try:
        return checked_host(host), int(port)
    except BadRequestError as error:
        raise BadRequestError(str(error), UNREACHABLE) from error


class Doors:
    """Both proxies, before one way out."""

    def __init__(self, connect: Connect) -> None:
        """Take what connects to a host and port, or raises RefusedError, NoWayError or OSError."""
        self._connect = connect

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client of the HTTP proxy."""
        async with _closing(writer):
            try:
                asked = read_request(await _in_time(reader.readuntil(b"\r\n\r\n"), HANDSHAKE_SECONDS))
            except BadRequestError as error:
                writer.write(http_answer(error.reply, str(error)))
                return
            except asyncio.LimitOverrunError:
                writer.write(http_answer(400, f"the head of a request is longer than {BUFFER} bytes"))
                return
            try:
                way = await _in_time(self._connect(asked.host, asked.port), DIAL_SECONDS)
            except RefusedError as error:
                writer.write(http_answer(503, str(error)))
                return
            except TimeoutError:
                writer.write(http_answer(504, f"{asked.host} did not answer within {DIAL_SECONDS:.0f} s"))
                return
            except (NoWayError, OSError) as error:
                writer.write(http_answer(502, f"{asked.host} is not reached: {error}"))
                return
            if asked.head is None:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                way[1].write(asked.head)
            await Tunnel((reader, writer), way, asked.body).carry()

    async def socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client of the SOCKS5 proxy."""
        async with _closing(writer):
            try:
                host, port = await _in_time(read_socks(reader, writer.write), HANDSHAKE_SECONDS)
                way = await _in_time(self._connect(host, port), DIAL_SECONDS)
            except RefusedError:
                writer.write(socks_reply(NOT_ALLOWED))
            except BadRequestError as error:
                writer.write(socks_reply(error.reply) if error.reply > 0 else b"")
            except (NoWayError, TimeoutError):
                writer.write(socks_reply(UNREACHABLE))
            else:
                writer.write(socks_reply(0))
                await Tunnel((reader, writer), way, _TOO_LONG).carry()


async def _in_time(doing: Awaitable[T], seconds: float) -> T:
    """Await it for so long. Raises TimeoutError."""
    try:
        return await asyncio.wait_for(doing, seconds)
    except asyncio.TimeoutError as error:  # noqa: UP041 - two classes until Python 3.11
        raise TimeoutError from error


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close a client's connection at the end; whatever it breaks off with is its own affair."""
    try:
        with contextlib.suppress(OSError, EOFError):
            yield
    finally:
        writer.close()


class Tunnel:
    """One connection, carried both ways until a side ends it."""

    def __init__(self, client: Stream, way: Stream, most: int) -> None:
        """Take both ends, and how many bytes of the client's are meant for the other side."""
        self._client = client
        self._way = way
        self._left = most
        self._moved = 0
        self._answered = True

    async def carry(self) -> None:
        """Carry until it is over. Ends of themselves are no errors."""
        up, down = asyncio.ensure_future(self._up()), asyncio.ensure_future(self._down())
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            moved = -1
            while not down.done() and not self._answered and moved != self._moved:
                moved = self._moved
                await asyncio.wait({down}, timeout=HALF_SECONDS)
        finally:
            up.cancel()
            down.cancel()
            # The other side ends with this one: nothing of it is left to be sent.
            self._way[1].close()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _up(self) -> None:
        while data := await self._client[0].read(BUFFER):
            # What follows a request's body is a second request, to a host that nobody has looked at.
            data = data[: self._left]
            self._left -= len(data)
            if data:
                self._answered = False
                self._way[1].write(data)
                await self._way[1].drain()

    async def _down(self) -> None:
        while data := await self._way[0].read(BUFFER):
            self._moved += len(data)
            self._answered = True
            self._client[1].write(data)
            await self._client[1].drain()
