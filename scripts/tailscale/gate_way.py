"""The gate's way out: tailscaled, as it is asked, followed and dialled through by its LocalAPI.

Nothing here can leave by the node's own network, whatever the exit node does meanwhile:

* a dial goes to an address, never to a name, by `POST /localapi/v0/dial`. tailscaled looks whether the
  address is its own to route, says so (`Dial-Self`) where it is not, and dials in the next instruction where
  it is (tailscale, ipn/localapi, serveDial). Its SOCKS5 and HTTP proxies ask nobody: what is not routed they
  dial from the node's network (net/tsdial, dialOneUser). It holds only where tailscaled keeps no second table
  of routes, which may know a way that there is not: sidecar.sh switches it off;
* a name is resolved by the exit node (DNS over HTTPS at its PeerAPI, as tailscaled does it), on a connection
  dialled in the same way. tailscaled itself falls back to the node's own resolver when the exit is not there
  (net/tsdial, userDialResolveAll), and would tell it where the worker is going.

Both need tailscaled 1.102 or later: an older one has no `Dial-Self`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import struct
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, NoReturn, Union
from urllib.parse import urlsplit

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]  # noqa: UP007 - Python 3.9
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

BUFFER = 64 * 1024
_API = "/localapi/v0"
_HOST = "Host: local-tailscaled.sock\r\n"
# Of ipn.NotifyWatchOpt: the state to begin with, then who came, went or changed among the peers.
_WATCHED = 1 << 1 | 1 << 12 | 1 << 13 | 1 << 15
_LONGEST_NOTICE = 64 * 1024 * 1024
_LONGEST_ANSWER = 64 * 1024
_LONGEST_WORDS = 200
_LONGEST_LABEL, _LONGEST_NAME = 63, 253
# Between one address of a name and the next, as Go, and so tailscaled, has it.
_HEAD_START = 0.3
_MOST_ADDRESSES = 8
_OK, _SWITCHED = 200, 101


class NoWayError(Exception):
    """A destination was not reached; the text says why, to whoever asked for it."""


class SilentError(Exception):
    """tailscaled did not answer."""


class Tailscaled:
    """tailscaled, behind its socket."""

    def __init__(self, path: str, timeout: float) -> None:
        """Take the socket's path, and the seconds that a question about its state may take."""
        self._path = path
        self._timeout = timeout
        self._asking = asyncio.Lock()
        self._next: asyncio.Task[dict[str, Any]] | None = None

    async def status(self) -> dict[str, Any]:
        """What it says of itself and its peers, asked for after this call came. Raises SilentError."""
        # Who comes while a question is under way waits for the next one, which serves all who wait: an
        # answer that was asked for before a connection came says nothing about it.
        if self._next is None:
            self._next = asyncio.ensure_future(self._ask_in_turn())
        return await asyncio.shield(self._next)

    async def _ask_in_turn(self) -> dict[str, Any]:
        async with self._asking:
            self._next = None
            try:
                body = await asyncio.wait_for(self._body("status"), self._timeout)
                answer = json.loads(body)
            except (OSError, asyncio.TimeoutError, ValueError, EOFError) as error:  # noqa: UP041 - Python 3.9
                raise SilentError(f"tailscaled does not answer: {error or type(error).__name__}") from error
            return answer if isinstance(answer, dict) else {}

    async def _body(self, what: str) -> bytes:
        reader, writer = await self._get(what)
        try:
            return await reader.read()
        finally:
            writer.close()

    async def _get(self, what: str) -> Stream:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=_LONGEST_NOTICE)
        try:
            # HTTP/1.0: the answer ends with the connection, and comes in no pieces to be put together.
            writer.write(f"GET {_API}/{what} HTTP/1.0\r\n{_HOST}\r\n".encode())
            status, _ = await read_head(reader)
            if status != _OK:
                _not_so(f"it answers {status}")
        except BaseException:
            writer.close()
            raise
        return reader, writer

    async def notices(self) -> AsyncIterator[bytes]:
        """What it says when something changes, as long as it runs. Raises OSError, ValueError, EOFError."""
        reader, writer = await self._get(f"watch-ipn-bus?mask={_WATCHED}")
        try:
            while line := await reader.readline():
                yield line
        finally:
            writer.close()

    async def dial(self, address: Address, port: int) -> Stream:
        """A connection that tailscaled made through the tailnet. Raises NoWayError, OSError."""
        reader, writer = await asyncio.open_unix_connection(self._path, limit=BUFFER)
        try:
            writer.write(
                f"POST {_API}/dial HTTP/1.1\r\n{_HOST}Connection: upgrade\r\nUpgrade: ts-dial\r\n"
                f"Dial-Host: {address}\r\nDial-Port: {port}\r\nContent-Length: 0\r\n\r\n".encode()
            )
            status, headers = await read_head(reader)
            if status != _SWITCHED:
                length = min(int(headers.get("content-length", "0")), _LONGEST_WORDS)
                words = (await reader.readexactly(length)).decode("utf-8", "replace").strip()
        except (ValueError, EOFError) as error:
            writer.close()
            raise NoWayError("tailscaled broke off") from error
        except BaseException:
            writer.close()
            raise
        if status == _SWITCHED:
            return reader, writer
        writer.close()
        if headers.get("dial-self"):
            raise NoWayError(f"there is no way to {address} through the tailnet")
        raise NoWayError(words or f"tailscaled answers {status}")


def _not_so(text: str) -> NoReturn:
    raise ValueError(text)


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read the head of an HTTP answer: its status, and its headers by lower-case name.

    Raises ValueError where it is none, EOFError where it breaks off.
    """
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.LimitOverrunError as error:
        raise ValueError("an answer without an end to its head") from error
    parts = lines[0].split(None, 2)
    if not parts[1:] or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise ValueError("an answer that is no HTTP")
    pairs = (line.partition(":") for line in lines[1:] if line)
    return int(parts[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def question(name: str, kind: int) -> bytes:
    """A DNS question (RFC 1035), without an identity as it goes by HTTP. Raises ValueError."""
    labels = name.rstrip(".").encode("ascii").split(b".")
    if not all(0 < len(label) <= _LONGEST_LABEL for label in labels) or len(name.rstrip(".")) > _LONGEST_NAME:
        raise ValueError(f"{name} is no host name")
    packed = b"".join(bytes([len(label)]) + label for label in labels)
    return struct.pack(">6H", 0, 0x100, 1, 0, 0, 0) + packed + b"\0" + struct.pack(">2H", kind, 1)


def answers(message: bytes) -> tuple[list[Address], int]:
    """The addresses in a DNS answer, and the seconds they are good for. Raises ValueError."""
    found: list[Address] = []
    keep = 1 << 31
    try:
        _, flags, questions, count, _, _ = struct.unpack_from(">6H", message)
        if flags & 0xF not in (0, 3):
            raise ValueError(f"the exit node's resolver answers with code {flags & 0xF}")
        at = 12
        for _ in range(questions):
            at = _past_name(message, at) + 4
        for _ in range(count):
            at = _past_name(message, at)
            kind, _, ttl, length = struct.unpack_from(">HHIH", message, at)
            data = message[at + 10 : at + 10 + length]
            at += 10 + length
            if (kind, len(data)) in ((_A, 4), (_AAAA, 16)):
                found.append(ipaddress.ip_address(data))
            keep = min(keep, ttl)
    except (struct.error, IndexError) as error:
        raise ValueError("the exit node's resolver answers with something that is no DNS") from error
    return found, keep if found else 0


_A, _AAAA = 1, 28


def _past_name(message: bytes, at: int) -> int:
    while message[at]:
        if message[at] & 0xC0:
            return at + 2
        at += 1 + message[at]
    return at + 1


class Resolver:
    """The exit node's resolver. Keeps connections to it, and its answers for as long as they are good."""

    _LONGEST, _MOST = 60, 1000

    def __init__(self, tailscaled: Tailscaled) -> None:
        self._tailscaled = tailscaled
        self._at = ""
        self._idle: list[Stream] = []
        self._known: dict[str, tuple[float, list[Address]]] = {}

    async def resolve(self, name: str, at: str) -> list[Address]:
        """The addresses of a name, as the exit node with its PeerAPI `at` has them.

        Raises NoWayError, OSError.
        """
        if at != self._at:
            self.forget()
            self._at = at
        until, known = self._known.get(name, (0.0, []))
        if time.monotonic() < until:
            return known
        (fours, keep), (sixes, keep_sixes) = await asyncio.gather(
            self._ask(name, _A, at), self._ask(name, _AAAA, at)
        )
        # In turn, so that an exit node with one family alone costs one head start and no more.
        found = [address for pair in _pairs(fours, sixes) for address in pair][:_MOST_ADDRESSES]
        if not found:
            raise NoWayError(f"{name} is unknown to the exit node's resolver")
        if len(self._known) >= self._MOST:
            self._known.clear()
        good_for = min(keep if fours else self._LONGEST, keep_sixes if sixes else self._LONGEST)
        if at == self._at:
            self._known[name] = (time.monotonic() + min(good_for, self._LONGEST), found)
        return found

    def forget(self) -> None:
        """Forget what an exit node said, and hang up."""
        self._known.clear()
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def _ask(self, name: str, kind: int, at: str) -> tuple[list[Address], int]:
        try:
            asked = question(name, kind)
        except ValueError as error:
            raise NoWayError(f"{name} is no host name") from error
        while self._idle:
            # It may have hung up since, which shows when it is asked: then the next one, or a new one.
            with contextlib.suppress(OSError, EOFError):
                return await self._ask_on(self._idle.pop(), asked, at)
        url = urlsplit(at)
        try:
            stream = await self._tailscaled.dial(ipaddress.ip_address(url.hostname or ""), url.port or 0)
            return await self._ask_on(stream, asked, at)
        except (ValueError, EOFError) as error:
            raise NoWayError(f"the exit node does not resolve {name}: {error}") from error

    async def _ask_on(self, stream: Stream, asked: bytes, at: str) -> tuple[list[Address], int]:
        reader, writer = stream
        good = False
        try:
            writer.write(
                f"POST /dns-query HTTP/1.1\r\nHost: {urlsplit(at).netloc}\r\n"
                f"Content-Type: application/dns-message\r\nContent-Length: {len(asked)}\r\n\r\n".encode()
                + asked
            )
            status, headers = await read_head(reader)
            length = int(headers.get("content-length", "-1"))
            if status != _OK or not 0 <= length <= _LONGEST_ANSWER:
                raise NoWayError(f"the exit node's resolver answers {status}")
            found = answers(await reader.readexactly(length))
            good = at == self._at
        except ValueError as error:
            raise NoWayError(str(error)) from error
        finally:
            if good:
                self._idle.append(stream)
            else:
                writer.close()
        return found


def _pairs(first: list[Address], second: list[Address]) -> Iterable[list[Address]]:
    for number in range(max(len(first), len(second))):
        yield first[number : number + 1] + second[number : number + 1]


class Way:
    """The way through the tailnet to a host and port."""

    def __init__(self, tailscaled: Tailscaled) -> None:
        self._tailscaled = tailscaled
        self.resolver = Resolver(tailscaled)

    async def connect(self, host: str, port: int, status: Mapping[str, Any]) -> Stream:
        """Connect to a host, by the exit node in `status`. Raises NoWayError, OSError."""
        try:
            addresses = [ipaddress.ip_address(host)]
        except ValueError:
            addresses = in_netmap(host, status)
            if not addresses:
                addresses = await self.resolver.resolve(host, exit_api(status))
        return await self._race(addresses, port)

    async def _race(self, addresses: list[Address], port: int) -> Stream:
        """The first of them that answers, each given a head start on the next."""
        ahead = list(addresses)
        running: set[asyncio.Task[Stream]] = set()
        failed: BaseException | None = None
        try:
            while ahead or running:
                if ahead:
                    running.add(asyncio.ensure_future(self._tailscaled.dial(ahead.pop(0), port)))
                done, running = await asyncio.wait(
                    running, timeout=_HEAD_START if ahead else None, return_when=asyncio.FIRST_COMPLETED
                )
                won = [task for task in done if task.exception() is None]
                running |= set(won[1:])
                if won:
                    return won[0].result()
                failed = failed or next((task.exception() for task in done), None)
        finally:
            for task in running:
                task.cancel()
                task.add_done_callback(_hang_up)
        raise failed or NoWayError("no address")


def _hang_up(task: asyncio.Task[Stream]) -> None:
    """Close what a loser of a race won after all."""
    if not task.cancelled() and task.exception() is None:
        task.result()[1].close()


def exit_peer(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """The exit node among the peers; empty where there is none."""
    peers = (status.get("Peer") or {}).values()
    return next((peer for peer in peers if peer.get("ExitNode")), {})


def exit_api(status: Mapping[str, Any]) -> str:
    """Where the exit node resolves names. Raises NoWayError where it does not, as one of WireGuard alone."""
    urls = exit_peer(status).get("PeerAPIURL") or []
    if not urls:
        raise NoWayError("the exit node resolves no names, and the node's own resolver is not asked")
    return str(urls[0])


def in_netmap(name: str, status: Mapping[str, Any]) -> list[Address]:
    """The addresses of a member of the tailnet, by its whole name or the first part of it."""
    wanted = name.rstrip(".").lower()
    suffix = str(status.get("MagicDNSSuffix") or "").lower()
    if "." in wanted and not (suffix and wanted.endswith(f".{suffix}")):
        return []
    for node in (status.get("Self") or {}, *(status.get("Peer") or {}).values()):
        full = str(node.get("DNSName", "")).rstrip(".").lower()
        if wanted in (full, full.partition(".")[0]):
            return [ipaddress.ip_address(text) for text in node.get("TailscaleIPs") or []]
    return []
