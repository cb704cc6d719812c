"""Asks for what jobs serve: from a member of the tailnet by its own tailscaled, and from outside of it."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import httpx

from harness.errors import LabError
from harness.ledger.facts import AttemptSeen, RegisteredService, Way
from harness.live.companion import Member
from harness.live.observer import ObserverClient
from harness.live.reaching import trust
from harness.live.shell import Door
from harness.management.patience import is_about_trust
from harness.probes.asking import REGISTERED, Ask, in_url

HERE = "here"
"""The machine that the harness runs on."""
OBSERVER = "observer"
"""The place on the internet that OBSERVER_URL names."""
_SECONDS = 6.0
_TCP_SECONDS = 4.0
_DIRECT_SECONDS = 2.0
_SHOWN = 2000  # characters of a body
_AT_ONCE = 4
_SESSIONS = 4
"""How often something is asked for, where the session by which it is asked breaks off."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
# What no host of the internet is reached by: RFC 1918, RFC 6598 (a tailnet's own), RFC 4193, link-local.
_INSIDE = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
                     "fc00::/7", "fe80::/10", "127.0.0.0/8", "::1/128"))
)  # fmt: skip


def is_inside(address: str) -> bool:
    """Whether an address leads nowhere from the internet, so that nobody there can try it."""
    parsed = ip_address(address)
    return any(parsed in network for network in _INSIDE if network.version == parsed.version)


def ask(member: Member, asks: Sequence[Ask]) -> list[AttemptSeen]:
    """Ask for all of this from a member, some side by side; what does not answer is a finding."""
    context = trust()
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=member.name) as pool:
        return list(pool.map(lambda a: _by_tcp(member, a) if a.bare else _by_http(member, a, context), asks))


def _by_http(member: Member, asked: Ask, context: ssl.SSLContext) -> AttemptSeen:
    parts = urlsplit(asked.url)
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    where = asked.address or str(parts.hostname)
    argv = member.tailscale("nc", where, str(port))
    for _ in range(_SESSIONS):
        seen, broke_off = _once_by_http(member, asked, argv, context)
        if not broke_off:
            return seen
    raise LabError(f"{member.name}: its sessions break off before {asked.url} has answered")


def _once_by_http(
    member: Member, asked: Ask, argv: Sequence[str], context: ssl.SSLContext
) -> tuple[AttemptSeen, bool]:
    """Ask once; and whether the session broke off, so that what was seen, or was not, means nothing."""
    status, body, error, connected = 0, "", "", False
    headers: tuple[str, ...] = ()
    with Door(member.stage.shell, member.allocation, member.task, argv) as door:
        try:
            with httpx.Client(
                transport=httpx.HTTPTransport(uds=door.path, verify=context), timeout=_SECONDS
            ) as client:
                answer = client.get(asked.url)
            connected, status, body = True, answer.status_code, answer.text[:_SHOWN]
            headers = tuple(f"{name}: {value}" for name, value in answer.headers.items())
        except httpx.HTTPError as failed:
            # Somebody answered, but no TLS came of it.
            connected, error = is_about_trust(failed), str(failed)
            if not isinstance(failed, httpx.TimeoutException):
                door.settle()
    seen = _seen(
        member,
        asked,
        connected=connected,
        status=status,
        headers=headers,
        body=body,
        error=error and (door.complaint or error),
    )
    return seen, door.broke_off and not connected


def _by_tcp(member: Member, asked: Ask) -> AttemptSeen:
    """Speak bare TCP. Only a word from there shows a connection: `tailscale nc` itself says nothing of it."""
    for _ in range(_SESSIONS):
        seen, broke_off = _once_by_tcp(member, asked)
        if not broke_off:
            return seen
    raise LabError(f"{member.name}: its sessions break off before {asked.url} has answered")


def _once_by_tcp(member: Member, asked: Ask) -> tuple[AttemptSeen, bool]:
    """Ask once; and whether the session broke off, so that what was seen, or was not, means nothing."""
    name, _, port = asked.url.removeprefix("tcp://").rpartition(":")
    argv = member.tailscale("nc", asked.address or name, port)
    session = member.stage.shell.joined(member.allocation, member.task, *argv)
    process = subprocess.Popen(
        session.command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=session.environment,
    )
    # Ends the reading below, whatever comes or does not come.
    bound = threading.Timer(_TCP_SECONDS, process.terminate)
    bound.start()
    said, over = b"", False
    try:
        if process.stdin and process.stdout:
            with suppress(BrokenPipeError):
                process.stdin.write(asked.send.encode())
                process.stdin.flush()
            while not (asked.awaits and asked.awaits.encode() in said):
                piece = process.stdout.read1(4096)  # type: ignore[attr-defined] # a BufferedReader
                if not piece:
                    over = True
                    break
                said += piece
    finally:
        if not over:
            process.terminate()
        complaint = process.communicate()[1].decode("utf-8", "replace")
        late = not bound.is_alive()
        bound.cancel()
    text = said.decode("utf-8", "replace")[:_SHOWN]
    seen = _seen(
        member, asked, connected=bool(said), body=text, error="" if said else session.words(complaint)
    )
    # One that was still waiting when its time was over has waited in vain, which is an answer.
    return seen, not said and not late and session.broke_off(process.returncode, complaint)


def _seen(
    member: Member,
    asked: Ask,
    *,
    connected: bool,
    status: int = 0,
    headers: tuple[str, ...] = (),
    body: str = "",
    error: str = "",
) -> AttemptSeen:
    return AttemptSeen(
        by=member.name,
        way=asked.way,
        target=asked.url + (f" at {asked.address}" if asked.address else ""),
        named=asked.named,
        port=asked.port,
        promise=asked.promise,
        connected=connected,
        status=status,
        headers=headers,
        body=body,
        error=error[-300:],
        control=asked.control,
    )


def from_here(targets: Sequence[tuple[str, int]], controls: frozenset[int]) -> list[AttemptSeen]:
    """Try TCP connections from this machine; `controls` are the ports that somebody of ours listens on."""

    def attempt(target: tuple[str, int]) -> AttemptSeen:
        address, port = target
        try:
            with socket.create_connection(target, timeout=_DIRECT_SECONDS):
                return _direct(HERE, address, port, controls, error=None)
        except OSError as error:
            return _direct(HERE, address, port, controls, error=str(error))

    with ThreadPoolExecutor(16, thread_name_prefix=HERE) as pool:
        return list(pool.map(attempt, targets))


def from_outside(
    observer: ObserverClient, targets: Sequence[tuple[str, int]], controls: frozenset[int]
) -> list[AttemptSeen]:
    """The same from where the observer stands. Raises LabError when it cannot try."""
    return [
        _direct(OBSERVER, found.address, found.port, controls, error=None if found.connected else found.error)
        for found in observer.probe(targets, _DIRECT_SECONDS)
    ]


def resolved(name: str) -> tuple[str, ...]:
    """The addresses that a name has for anybody on the internet; a name of a tailnet has none."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return ()
    return tuple(sorted({str(entry[4][0]) for entry in found}))


def led_outside(
    observer: ObserverClient, service: RegisteredService, addresses: Sequence[str]
) -> list[AttemptSeen]:
    """Try, from where the observer stands, where Consul's catalogue sends who asks it. Raises LabError.

    Args:
        observer: who tries.
        service: one instance, whose address may be a name.
        addresses: those behind it, in public and in the tailnet.
    """
    found = observer.probe([(a, service.port) for a in addresses], _DIRECT_SECONDS)
    reached = [each.address for each in found if each.connected]
    return [
        AttemptSeen(
            by=OBSERVER,
            way=Way.DIRECT,
            target=f"http://{in_url(service.address)}:{service.port}/",
            named=REGISTERED,
            port=service.port,
            promise=0,
            connected=bool(reached),
            error="" if reached else f"{len(found)} addresses behind it tried",
        )
    ]


def _direct(by: str, address: str, port: int, controls: frozenset[int], *, error: str | None) -> AttemptSeen:
    return AttemptSeen(
        by=by,
        way=Way.DIRECT,
        target=f"{in_url(address)}:{port}",
        named=address,
        port=port,
        promise=0,
        connected=error is None,
        error=error or "",
        control=port in controls,
    )
