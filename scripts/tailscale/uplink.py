"""The only way out of a sealed allocation, and the way in of Nomad's check: two ends, one on each side.

A sealed allocation has a network namespace with nothing but loopback. tailscaled runs in it and reaches its
control server and the relays of the tailnet (DERP) by this program, and by nothing else:

* `uplink.py outside`, on the host's network: takes HTTP CONNECT on a unix socket, to the names of an
  allowlist and to nobody else; and leads Nomad's check, on 127.0.0.1, to the other end;
* `uplink.py inside COMMAND...`, in the sealed namespace: a proxy on 127.0.0.1 for tailscaled (HTTPS_PROXY),
  led to that unix socket; and runs COMMAND (health.py), to which it leads Nomad's check. Ends when it ends.

Both ends take connections of their own user alone, root as a rule. A worker that is not root can use neither,
although it shares the namespace and the folder; one that is root reaches the names of the allowlist.
Told to stop, both stay until tailscaled is gone, which leaves the tailnet through them.

Settings, from the environment:
  UPLINK_FOLDER        where the unix sockets are; default: uplink/ in the allocation's shared folder
  TS_SOCKET            LocalAPI socket; default: tailscale/tailscaled.sock in the allocation's folder
  NOMAD_PORT_health    the port on 127.0.0.1 that Nomad's check asks, the same on both sides; none, no check
  UPLINK_STOP_TIMEOUT  seconds to wait for tailscaled's end; default 8
  LOGIN_SERVER         outside: the control server's URL, https; its host and port are allowed; required
  UPLINK_ALLOW         outside: what is allowed besides, comma separated: HOST:PORT. A `*` in the first part
                       of a name stands for any letters, digits and hyphens, and never for a dot
  UPLINK_PORT          inside: the proxy's port on 127.0.0.1; default 3128

Exit codes: 0 told to stop, 2 a setting is missing or wrong, COMMAND's own where it ended by itself.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_LONGEST_HEAD = 8 * 1024
_HEAD_SECONDS = 10.0
_DIAL_SECONDS = 10.0
_HALF_SECONDS = 10.0
_PIECE = 64 * 1024
_MOST_CONNECTIONS = 64
"""At a time, on each socket. tailscaled has a handful."""
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PATTERN = re.compile(rf"[a-z0-9*-]{{1,63}}(?:\.{_LABEL}){{2,}}")
_REQUEST = re.compile(
    rb"CONNECT (?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253}):(?P<port>[0-9]{1,5})"
    rb" HTTP/1\.[01]\r?\n"
)
_LONGEST_NAME = 253
_ESTABLISHED = "01"
_Late = asyncio.exceptions.TimeoutError
"""Before Python 3.11 not the built-in one."""


class SettingError(Exception):
    """A setting is missing or wrong."""


@dataclass(frozen=True)
class Target:
    """A host, as a name or an address in its shortest form, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Allowlist:
    """Which targets may be connected to: exactly these, and those that a pattern of one label matches."""

    targets: frozenset[Target]
    patterns: tuple[tuple[re.Pattern[str], int], ...]

    def allows(self, target: Target) -> bool:
        """Whether a target is allowed. An address is so only where it is listed itself."""
        if target in self.targets:
            return True
        if _address(target.host):
            return False
        return any(target.port == port and pattern.fullmatch(target.host) for pattern, port in self.patterns)


def read_allowlist(login_server: str, allow: str) -> Allowlist:
    """Read LOGIN_SERVER and UPLINK_ALLOW. Raises SettingError, also for a pattern that is too wide."""
    try:
        url = urlsplit(login_server)
        login = _target(url.hostname or "", str(url.port or 443))
    except ValueError as error:
        raise SettingError(f"LOGIN_SERVER is {login_server!r}, which is no URL") from error
    if url.scheme != "https" or login is None:
        raise SettingError(f"LOGIN_SERVER is {login_server!r}, which is no https URL")
    targets, patterns = {login}, []
    for item in allow.replace(",", " ").split():
        host, _, port = item.lower().rpartition(":")
        target = _target(host.strip("[]"), port)
        if target:
            targets.add(target)
        elif host.count("*") == 1 and _PATTERN.fullmatch(host) and _port(port):
            before, after = map(re.escape, host.split("*"))
            patterns.append((re.compile(f"{before}[a-z0-9-]*{after}"), _port(port)))
        else:
            raise SettingError(
                f"UPLINK_ALLOW holds {item!r}, which is not HOST:PORT, with at most one * in the first part "
                "of a name of three parts or more"
            )
    return Allowlist(frozenset(targets), tuple(patterns))


def _port(text: str) -> int:
    """A port; 0 where the text is none."""
    number = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0
    return number if number < 1 << 16 else 0


def _address(host: str) -> str:
    """An address in its shortest form; empty where the text is none."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


def _target(host: str, port: str) -> Target | None:
    """A target, where both are such. What ends in digits may be taken for an address: it is no name."""
    number, name = _port(port), host.lower()
    address = _address(name)
    named = len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) and not name.rpartition(".")[2].isdigit()
    return Target(address or name, number) if number and (address or named) else None


def asked_for(head: bytes) -> Target | None:
    """The target of a request's head; None where it is no CONNECT to one."""
    found = _REQUEST.match(head)
    return _target(found["host"].decode().strip("[]"), found["port"].decode()) if found else None


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


async def _carry(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    host: str,
    port: int = 0,
    greeting: bytes = b"",
) -> None:
    """Carry bytes both ways between a connection and a new one: to a host's port, or to a unix socket.

    Raises OSError or _Late where there is no such connection.
    """
    dial = asyncio.open_connection(host, port) if port else asyncio.open_unix_connection(host)
    there, back = await asyncio.wait_for(dial, _DIAL_SECONDS)
    try:
        writer.write(greeting)
        ways = {asyncio.ensure_future(_copy(reader, back)), asyncio.ensure_future(_copy(there, writer))}
        _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        # An answer may still be on its way to who has finished asking; nobody waits for it for ever.
        _, late = await asyncio.wait(left or ways, timeout=_HALF_SECONDS)
        for way in late:
            way.cancel()
    finally:
        back.close()


class Proxy:
    """Answers CONNECT: with a connection to a target of the allowlist, or with a refusal."""

    def __init__(self, allowlist: Allowlist) -> None:
        """Take what is allowed."""
        self._allowlist = allowlist

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_SECONDS)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, _Late, OSError):
            return
        target = asked_for(head)
        if target is None:
            await _answer(writer, "400 Bad Request")
        elif not self._allowlist.allows(target):
            _say(f"refused: {target} is not allowed")
            await _answer(writer, "403 Forbidden")
        else:
            try:
                await _carry(reader, writer, target.host, target.port, _status("200 OK"))
            except (OSError, _Late) as error:
                _say(f"no connection to {target}: {error or type(error).__name__}")
                await _answer(writer, "502 Bad Gateway")


def _status(text: str) -> bytes:
    return f"HTTP/1.1 {text}\r\n\r\n".encode()


async def _answer(writer: asyncio.StreamWriter, status: str) -> None:
    with suppress(OSError):
        writer.write(_status(status))
        await writer.drain()


def _say(text: str) -> None:
    print(f"uplink: {text}", flush=True)


def peer_of_unix(connection: socket.socket) -> int | None:
    """The user at the other end of a unix socket."""
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(user)


def peer_of_loopback(connection: socket.socket) -> int | None:
    """The user at the other end of a connection over 127.0.0.1 in this network namespace; None if unknown.

    The kernel tells whose a socket is only as long as it is whole: one that is closing is shown as root's.
    """
    try:
        wanted = [_in_kernel(*connection.getpeername()), _in_kernel(*connection.getsockname())]
    except OSError:
        return None
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        words = line.split()
        if words[1:3] == wanted and words[3] == _ESTABLISHED:
            return int(words[7])
    return None


def _in_kernel(address: str, port: int) -> str:
    """An address of version 4 and a port as /proc/net/tcp has them (proc(5)): in the machine's own order."""
    (number,) = struct.unpack("=I", socket.inet_aton(address))
    return f"{number:08X}:{port:04X}"


class Door:
    """Owns a listening socket, and takes connections of this process's own user alone, if so told."""

    def __init__(
        self,
        listener: socket.socket,
        serve: Serve,
        peer: Callable[[socket.socket], int | None] | None = None,
    ) -> None:
        """Take the socket, what is done with a connection, and who can tell whose it is."""
        self._listener = listener
        self._serve = serve
        self._peer = peer
        self._open = 0

    async def open(self) -> None:
        """Begin to take connections."""
        start = asyncio.start_unix_server if self._listener.family == socket.AF_UNIX else asyncio.start_server
        self._server = await start(self._take, sock=self._listener, limit=_LONGEST_HEAD)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= _MOST_CONNECTIONS and self._may(writer.get_extra_info("socket")):
                # At the program's end, of which asyncio's streams would complain.
                with suppress(asyncio.CancelledError):
                    await self._serve(reader, writer)
        finally:
            self._open -= 1
            with suppress(OSError):
                writer.close()

    def _may(self, connection: socket.socket) -> bool:
        return self._peer is None or self._peer(connection) == os.geteuid()


def listen_at(path: Path) -> socket.socket:
    """Listen on a unix socket in a folder of this user's alone; what an earlier run left goes."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.parent.chmod(0o700)
    with suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen()
    return listener


def listen_on(port: int) -> socket.socket:
    """Listen on 127.0.0.1."""
    # The protocol is named: asyncio sets TCP_NODELAY only where it knows TCP, and small packets would wait
    # for each other, 40 ms at a time.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def _lead(host: str, port: int = 0) -> Serve:
    """Lead connections to a host's port, or to a unix socket; who cannot be reached is as if it hung up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, _Late):
            await _carry(reader, writer, host, port)

    return serve


@dataclass(frozen=True)
class Settings:
    """What both ends are told."""

    folder: Path
    tailscaled: str
    health: int
    port: int
    stop_seconds: float

    @property
    def uplink(self) -> Path:
        """Where the end outside listens."""
        return self.folder / "uplink.sock"

    @property
    def check(self) -> Path:
        """Where the end inside listens, for Nomad's check."""
        return self.folder / "health.sock"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings of both ends. Raises SettingError."""
    shared = environment.get("NOMAD_ALLOC_DIR") or "/alloc"
    numbers = {"NOMAD_PORT_health": "0", "UPLINK_PORT": "3128", "UPLINK_STOP_TIMEOUT": "8"}
    for name, default in numbers.items():
        text = numbers[name] = environment.get(name) or default
        if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) >= 1 << 16:
            raise SettingError(f"{name} is {text!r}, which is no such number")
    return Settings(
        folder=Path(environment.get("UPLINK_FOLDER") or f"{shared}/uplink"),
        tailscaled=environment.get("TS_SOCKET") or f"{shared}/tailscale/tailscaled.sock",
        health=int(numbers["NOMAD_PORT_health"]),
        port=int(numbers["UPLINK_PORT"]),
        stop_seconds=float(numbers["UPLINK_STOP_TIMEOUT"]),
    )


async def _until_gone(path: str, seconds: float) -> None:
    """Wait for tailscaled's end, which ends a connection to it, but no longer than so many seconds."""
    with suppress(OSError, _Late):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            await asyncio.wait_for(reader.read(1), seconds)
        finally:
            writer.close()


def _told_to_stop() -> asyncio.Event:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


async def outside(settings: Settings, allowlist: Allowlist) -> int:
    """Be the end on the host's network, until told to stop; give the exit code."""
    told = _told_to_stop()
    await Door(listen_at(settings.uplink), Proxy(allowlist), peer_of_unix).open()
    if settings.health:
        await Door(listen_on(settings.health), _lead(str(settings.check))).open()
    await told.wait()
    await _until_gone(settings.tailscaled, settings.stop_seconds)
    return 0


async def inside(settings: Settings, command: Sequence[str]) -> int:
    """Be the end in the sealed namespace, beside a command, until told to stop; give the exit code."""
    told = asyncio.ensure_future(_told_to_stop().wait())
    await Door(listen_on(settings.port), _lead(str(settings.uplink)), peer_of_loopback).open()
    if settings.health:
        await Door(listen_at(settings.check), _lead("127.0.0.1", settings.health), peer_of_unix).open()
    child = await asyncio.create_subprocess_exec(*command)
    ended = asyncio.ensure_future(child.wait())
    await asyncio.wait([told, ended], return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        return ended.result() or 1
    await _until_gone(settings.tailscaled, settings.stop_seconds)
    with suppress(ProcessLookupError):
        child.terminate()
    await ended
    return 0


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Be the end that is asked for; give the exit code."""
    end, *command = arguments or [""]
    try:
        if end == "outside" and not command:
            allowed = read_allowlist(environment.get("LOGIN_SERVER", ""), environment.get("UPLINK_ALLOW", ""))
            return asyncio.run(outside(read_settings(environment), allowed))
        if end == "inside" and command:
            return asyncio.run(inside(read_settings(environment), command))
        print("uplink: it is uplink.py outside, or uplink.py inside COMMAND...", file=sys.stderr)
    except SettingError as error:
        print(f"uplink: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
