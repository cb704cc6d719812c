"""One host asks for something over HTTP or TCP, and says what came back."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpcore

from harness.errors import LabError
from harness.lab.host_plans import TAILSCALE_SOCKET
from harness.lab.running_host import RunningHost
from harness.ledger.facts import AttemptSeen, Way
from harness.probes import curling
from harness.probes.curling import Curled, Request

FULL_NAME, SHORT_NAME, ADDRESS = "full name", "short name", "tailnet address"
REGISTERED = "registered address"
SOCKS = "socks5h://127.0.0.1:1055"
"""A member's own SOCKS proxy; with `h`, names are the tailnet's (host_plans._member)."""
_SHOWN = 2000  # characters of a body
_SECONDS = 5
_SILENCE_SECONDS = 30
_LISTENING_SECONDS = 3.0
"""So long is heard what somebody says over bare TCP of whom nothing is awaited."""
_NOTHING = frozenset({0, 5, 6, 7, 28, 97})
"""curl's exit codes (curl(1)) that by themselves speak of no connection: no proxy, no name, refused, too
late, refused by the proxy."""
_HANDSHAKE = frozenset({35, 60})
"""Somebody answered, but no TLS came of it."""


@dataclass(frozen=True)
class Ask:
    """Something to be asked for."""

    way: Way
    url: str
    """What is asked, with the name by which it is asked; `tcp://host:port` for bare TCP."""
    named: str
    port: int
    promise: int = 0
    address: str = ""
    """Where the connection goes, if not to where the name leads."""
    send: str = ""
    """What is sent first over bare TCP."""
    awaits: str = ""
    """What is read up to, over bare TCP."""
    control: bool = False

    @property
    def bare(self) -> bool:
        """Whether it is bare TCP."""
        return self.url.startswith("tcp://")


def ask(host: RunningHost, asks: Sequence[Ask], *, seconds: float = _SECONDS) -> list[AttemptSeen]:
    """Ask for all of this from one host, one after the other.

    Args:
        host: who asks.
        asks: for what.
        seconds: how long each may take.

    Raises:
        LabError: the host cannot ask.
    """
    over_http = [a for a in asks if not a.bare]
    return [*_by_curl(host, over_http, seconds), *(_by_nc(host, a, seconds) for a in asks if a.bare)]


def _by_curl(host: RunningHost, asks: Sequence[Ask], seconds: float) -> list[AttemptSeen]:
    if not asks:
        return []
    mark = secrets.token_hex(8)
    requests = [Request(a.url, SOCKS if a.way is Way.TAILNET else "", in_url(a.address)) for a in asks]
    done = host.run(
        *curling.COMMAND,
        stdin=curling.told(requests, mark, seconds).encode(),
        # What it printed may stay with it to its end.
        silence=_SILENCE_SECONDS + len(asks) * seconds,
    )
    try:
        answers = curling.said(done.stdout, mark, len(asks))
    except LabError as error:
        raise LabError(f"{host.name}: {error}", log=done.stderr or error.log) from error
    return [attempt_of(host.name, asked, answer) for asked, answer in zip(asks, answers, strict=True)]


def connected(curled: Curled, way: Way) -> bool:
    """Whether anything took the connection, asked by this way. Pure."""
    code = int(curled.exitcode)
    # Through a proxy, `time_connect` is the proxy's own.
    direct = way is not Way.TAILNET and float(curled.time_connect) > 0
    return direct or float(curled.time_pretransfer) > 0 or code in _HANDSHAKE or code not in _NOTHING


def attempt_of(by: str, asked: Ask, curled: Curled) -> AttemptSeen:
    """What became of something that a host asked for by curl. Pure."""
    content = curled.content.replace("\r\n", "\n")
    head, _, body = content.partition("\n\n") if curled.status else ("", "", content)
    return AttemptSeen(
        by=by,
        way=asked.way,
        target=asked.url + (f" at {asked.address}" if asked.address else ""),
        named=asked.named,
        port=asked.port,
        promise=asked.promise,
        connected=connected(curled, asked.way),
        status=curled.status,
        headers=tuple(head.splitlines()[1:]),
        body=body[:_SHOWN],
        error=curled.errormsg,
        control=asked.control,
    )


def _by_nc(host: RunningHost, asked: Ask, seconds: float) -> AttemptSeen:
    """Speak bare TCP by the member's own tailscaled; directly it would be curl, which takes any TCP."""
    name, _, port = asked.url.removeprefix("tcp://").rpartition(":")
    stream = host.open("tailscale", f"--socket={TAILSCALE_SOCKET}", "nc", asked.address or name, port)
    said, ended = b"", False
    end = time.monotonic() + (seconds if asked.awaits else _LISTENING_SECONDS)
    try:
        stream.write(asked.send.encode())
        while not (asked.awaits and asked.awaits.encode() in said):
            left = end - time.monotonic()
            if left <= 0:
                break
            try:
                piece = stream.read(4096, timeout=left)
            except httpcore.ReadTimeout:
                break
            if not piece:
                ended = True
                break
            said += piece
        complaint = stream.complaint.decode("utf-8", "replace").strip()
    except httpcore.NetworkError as error:
        ended, complaint = True, str(error)
    finally:
        stream.close()
    return AttemptSeen(
        by=host.name,
        way=asked.way,
        target=asked.url + (f" at {asked.address}" if asked.address else ""),
        named=asked.named,
        port=asked.port,
        promise=asked.promise,
        # A dial that fails ends the command, with its reason.
        connected=bool(said) or not ended,
        body=said.decode("utf-8", "replace")[:_SHOWN],
        error=complaint,
        control=asked.control,
    )


def in_url(address: str) -> str:
    """An address as it stands in a URL: one of IPv6 in brackets (RFC 3986, 3.2.2)."""
    return f"[{address}]" if ":" in address else address
