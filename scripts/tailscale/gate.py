"""The gate: the only way out that a worker has, open while the exit node carries its traffic, else closed.

tailscaled's own proxies send straight out, from the node's address, whenever no exit node is there: it was
deleted on the control server, or tailscaled was started again and has no map of the tailnet yet. Nothing
fails then. So tailscaled runs without them, and the worker's proxies are these:

* nothing is connected unless tailscaled, asked after the request came, says that the node is in the tailnet
  and that a wanted exit node is set, in its map and online; and says so again once the connection is made,
  before a byte of the worker's goes into it;
* what is connected, is connected by tailscaled through the tailnet or not at all, names too: gate_way.py;
* when tailscaled's events tell that the exit went, tunnels are closed: at once where it is not the exit any
  more; after some seconds where it is offline, as it is called so when the control server starts again, and a
  tunnel that is open cannot go another way;
* closed for too long, the gate ends with 20, and so fails the allocation: its next one has a new guard.

Who is refused is told why: HTTP 503 with a line of text, SOCKS5 reply 2 (not allowed).

It also answers Nomad's check, in the same process: health.py, whose settings it shares. Of its own:
  NOMAD_PORT_http      the port of the HTTP proxy, on 127.0.0.1; required
  NOMAD_PORT_socks     the port of the SOCKS5 proxy, on 127.0.0.1; required
  EXIT_NODE            the exit node, by name or tailnet address; required
  FALLBACK_EXIT_NODES  others that are as good, comma separated
  GATE_PATIENCE        seconds that it may be closed for, once it was open; 0: for ever; default 60
  NOMAD_TASK_DIR       where it keeps in mind, over a reboot, that it was open; default /local

Exit codes: 0 told to stop, 2 a setting is missing or wrong, 20 closed for too long.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import health
from gate_doors import Doors, RefusedError
from gate_way import BUFFER, SilentError, Stream, Tailscaled, Way, exit_peer

EX_SETTING, EX_CLOSED = 2, 20
# What a control server that starts again takes to hear of everybody.
OFFLINE_SECONDS = 15.0
# Nobody tells when a socket appears.
_LOOK_AGAIN = 0.2


@dataclass(frozen=True)
class Settings:
    """What the gate needs to know, as the environment has it."""

    socket_path: str
    exits: tuple[str, ...]
    http: int
    socks: int
    patience: float
    timeout: float
    was_open: Path


def read_settings(environment: Mapping[str, str], of_health: health.Settings) -> Settings:
    """Read the gate's own settings. Raises health.SettingError, naming the one that is missing or wrong."""
    if not of_health.exits:
        raise health.SettingError("EXIT_NODE is not set")
    return Settings(
        socket_path=of_health.socket_path,
        exits=of_health.exits,
        http=health.port(environment.get("NOMAD_PORT_http", ""), "NOMAD_PORT_http"),
        socks=health.port(environment.get("NOMAD_PORT_socks", ""), "NOMAD_PORT_socks"),
        patience=health.seconds(environment, "GATE_PATIENCE", "60"),
        timeout=of_health.timeout,
        was_open=Path(environment.get("NOMAD_TASK_DIR") or "/local") / "gate-was-open",
    )


def say(text: str) -> None:
    """One line of the log, with the time: the daemon's that it is compared with have theirs."""
    now = time.time()
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z gate: {text}")


class Gate:
    """Open or closed, and who is in it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tailscaled = Tailscaled(settings.socket_path, settings.timeout)
        self._way = Way(self._tailscaled)
        self._open = False
        self._closed_at = time.monotonic()
        self._refused = 0
        self._tunnels: set[Stream] = set()
        self._exit = ""
        self._hurry: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if settings.was_open.exists():
            self._be_patient("it has not been open since it was started again")

    async def connect(self, host: str, port: int) -> Stream:
        """Connect to a host by the exit node. Raises RefusedError, gate_way.NoWayError, OSError."""
        try:
            stream = await self._way.connect(host, port, await self._look())
            try:
                await self._look()
            except BaseException:
                stream[1].close()
                raise
        except RefusedError:
            self._refused += 1
            raise
        # Those that are over are dropped when the next one comes: nobody tells of an end.
        self._tunnels = {other for other in self._tunnels if not other[1].is_closing()}
        self._tunnels.add(stream)
        return stream

    async def _look(self) -> dict[str, Any]:
        """What tailscaled says now, where it lets traffic through. Raises RefusedError."""
        try:
            status = await self._tailscaled.status()
            reasons = health.in_tailnet(status) or health.exit_node(status, self._settings.exits)
        except SilentError as error:
            status, reasons = {}, [str(error)]
        self._hear(status, reasons)
        if reasons:
            raise RefusedError("; ".join(reasons))
        return status

    def _hear(self, status: Mapping[str, Any], reasons: list[str]) -> None:
        peer = exit_peer(status)
        chosen = str(peer.get("ID") or "")
        if not reasons:
            # What was connected through another exit node is of no use through this one.
            if chosen != self._exit:
                self._hang_up()
            self._exit = chosen
            if not self._open:
                self._opened(str(peer.get("DNSName") or peer.get("HostName")).partition(".")[0])
            return
        if self._open:
            self._closed("; ".join(reasons))
        if chosen and chosen == self._exit:
            if self._hurry is None and self._tunnels:
                self._hurry = asyncio.get_running_loop().call_later(OFFLINE_SECONDS, self._hang_up)
        else:
            self._hang_up()

    def _opened(self, name: str) -> None:
        self._open = True
        for timer in (self._hurry, self._patience):
            if timer:
                timer.cancel()
        self._hurry = self._patience = None
        lasted = f"{time.monotonic() - self._closed_at:.1f} s, {self._refused} refused"
        say(f"open: traffic goes by exit node {name} (closed for {lasted})")
        with contextlib.suppress(OSError):
            self._settings.was_open.touch()

    def _closed(self, why: str) -> None:
        self._open = False
        self._closed_at = time.monotonic()
        self._refused = 0
        say(f"closed: {why}")
        self._be_patient(why)

    def _be_patient(self, why: str) -> None:
        patience = self._settings.patience
        if patience:
            text = f"closed for more than {patience:g} s: {why}"
            self._patience = asyncio.get_running_loop().call_later(patience, self._end, text)

    def stop(self) -> None:
        """End, as told to."""
        self._end("")

    def _end(self, text: str) -> None:
        if not self.over.done():
            self.over.set_result(text)

    def _hang_up(self) -> None:
        if self._hurry:
            self._hurry.cancel()
            self._hurry = None
        alive = [stream for stream in self._tunnels if not stream[1].is_closing()]
        for _, writer in alive:
            writer.transport.abort()
        if alive:
            say(f"hung up on {len(alive)} connection(s)")
        self._tunnels.clear()
        self._way.resolver.forget()

    async def watch(self) -> None:
        """Follow tailscaled's events, for ever: each is a reason to look again."""
        looking = asyncio.ensure_future(self._look_at_news())
        try:
            while True:
                self._news.set()
                with contextlib.suppress(OSError, ValueError, EOFError):
                    async for _ in self._tailscaled.notices():
                        self._news.set()
                self._news.set()
                await asyncio.sleep(_LOOK_AGAIN)
        finally:
            looking.cancel()

    async def _look_at_news(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            with contextlib.suppress(RefusedError):
                await self._look()


async def run(settings: Settings) -> int:
    """Keep the gate until SIGTERM or SIGINT, or until it was closed for too long; give the exit code."""
    gate = Gate(settings)
    doors = Doors(gate.connect)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, gate.stop)
    servers = []
    for serve, port in ((doors.http, settings.http), (doors.socks, settings.socks)):
        servers.append(await asyncio.start_server(serve, "127.0.0.1", port, limit=BUFFER, backlog=1024))
    watching = asyncio.ensure_future(gate.watch())
    ends: list[asyncio.Future[Any]] = [watching, gate.over]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if watching.done():
        # It has no end but a mistake.
        watching.result()
    why = gate.over.result()
    for server in servers:
        server.close()
    if why:
        say(why)
    return EX_CLOSED if why else 0


def main() -> int:
    """Serve proxies and check; give the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage="gate.py"
    )
    parser.parse_args()
    try:
        of_health = health.read_settings(os.environ)
        settings = read_settings(os.environ, of_health)
        server = health.Server(health.Health(of_health))
    except health.SettingError as error:
        print(f"gate: {error}", file=sys.stderr)
        return EX_SETTING
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return asyncio.run(run(settings))


if __name__ == "__main__":
    sys.exit(main())
