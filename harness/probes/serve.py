"""Asks for what a job serves: who may, who may not, and those outside of the tailnet. It judges nothing.

Each asker has a control, asked by the same command: members ask for the noticeboard, which every member
may see; those outside ask for a listener of the harness's own on the Nomad node.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

from harness.errors import LabError
from harness.job.example import ServePromise
from harness.lab.lab import Lab
from harness.lab.running_host import FILES
from harness.lab.topology import CLIENT, STRANGER, Host, Role
from harness.ledger.facts import AttemptSeen, RegisteredService, ServeSeen, TailnetNode, Way
from harness.management.waiting import wait_until
from harness.probes.asking import ADDRESS, FULL_NAME, REGISTERED, SHORT_NAME, Ask, ask, in_url

_NETMAP_SECONDS = 10
_TRIES = 3
_DEFAULT_PORTS = {"http": 80, "https": 443}


def ask_everyone(
    lab: Lab,
    promises: Sequence[ServePromise],
    joined: Sequence[TailnetNode],
    held: Sequence[int],
    pool: ThreadPoolExecutor,
    *,
    control: Mapping[int, int],
    registered: Sequence[RegisteredService] = (),
) -> list[AttemptSeen]:
    """Ask for every promise from every place; an answer that does not come is a finding, not an error.

    Args:
        lab: where the job runs.
        promises: its [[serve]] entries.
        joined: the nodes by which it joined the tailnet.
        held: the ports that its allocations were given on the Nomad node.
        pool: what is asked side by side.
        control: the TCP ports of the harness's own listeners on the node, by version of IP.
        registered: what Consul's catalogue names, which those outside try too.

    Raises:
        LabError: a host of the lab cannot ask at all.
    """
    domain = lab.topology.tailnet_domain
    asks = [a for n, p in enumerate(promises, 1) for a in of_promise(n, p, joined, domain)]
    node = lab.topology.only(Role.NODE)
    names = [a for a in asks if a.named != ADDRESS]
    outside = from_outside(node, {a.port for a in asks} | set(held), control)
    outside += [
        Ask(Way.DIRECT, f"http://{in_url(s.address)}:{s.port}/", REGISTERED, s.port, address=address)
        # Its name means nothing to them, so they are told the tailnet addresses behind it as well.
        for s in registered
        for address in ("", *(a for member in joined for a in member.addresses))
    ]
    inside = [Ask(Way.LOOPBACK, f"http://127.0.0.1:{port}/", "127.0.0.1", port) for port in held]
    _wait_for_netmap(lab, names)
    asking = [
        pool.submit(_patiently, lab, [*names, *noticeboards(lab)]),
        pool.submit(ask, lab.host(STRANGER), [*asks, *noticeboards(lab), *outside]),
        pool.submit(ask, lab.host(node.name), inside),
        *(pool.submit(ask, lab.host(host.name), outside) for host in lab.topology.with_role(Role.BYSTANDER)),
    ]
    return [attempt for answers in asking for attempt in answers.result()]


def published(lab: Lab, allocation: str) -> ServeSeen:
    """What an allocation's tailscaled says that it publishes. Raises LabError when it does not say."""
    said = lab.node.host.run(f"{FILES}/daemon.sh", allocation, "serve", "status", "--json").expect()
    config = json.loads(said.stdout)
    parts = [config, *(config.get("Services") or {}).values(), *(config.get("Foreground") or {}).values()]
    return ServeSeen(
        allocation,
        tuple(sorted(at for part in parts for at, on in (part.get("AllowFunnel") or {}).items() if on)),
    )


def from_outside(node: Host, ports: set[int], control: Mapping[int, int]) -> list[Ask]:
    """What those outside of the tailnet ask for: each port on each address, and there the control. Pure."""
    return [
        Ask(Way.DIRECT, f"http://{in_url(str(address))}:{port}/", str(address), port, control=controls)
        for address in (*node.v4, *node.v6)
        for port, controls in (
            *((port, False) for port in sorted(ports)),
            (control[address.version], True),
        )
    ]


def of_promise(
    number: int, promise: ServePromise, joined: Sequence[TailnetNode], domain: str
) -> Iterator[Ask]:
    """What is asked for one promise: by full name, by short name, and by the node's own addresses. Pure.

    A Service has a name and addresses of its own, and members in userspace mode know its full name alone.
    A certificate, too, is for the full name alone, so https is not asked for by another.
    """
    service = promise.service.removeprefix("svc:")
    pattern = promise.url or f"tcp://{promise.tcp}"
    for node in joined[:1] if service else joined:
        short = service or node.name
        for named, host in ((FULL_NAME, f"{short}.{domain}"), (SHORT_NAME, short)):
            if named == SHORT_NAME and (service or pattern.startswith("https:")):
                continue
            yield _ask(number, promise, pattern.replace("{host}", host), named)
        for address in () if service else node.addresses:
            full = _ask(number, promise, pattern.replace("{host}", f"{short}.{domain}"), ADDRESS)
            yield replace(full, address=address)


def _ask(number: int, promise: ServePromise, url: str, named: str) -> Ask:
    parts = urlsplit(url)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    return Ask(Way.TAILNET, url, named, port, number, send=promise.send, awaits=promise.contains)


def noticeboards(lab: Lab) -> list[Ask]:
    """What every member may see: the control of who asks by the tailnet."""
    return [
        Ask(Way.TAILNET, f"http://{host.name}.{lab.topology.tailnet_domain}/", FULL_NAME, 80, control=True)
        for host in lab.topology.with_role(Role.MEMBER)
        if host.tailnet and host.tailnet.serves
    ]


def _wait_for_netmap(lab: Lab, names: Sequence[Ask]) -> None:
    """Wait for the client to hear of the new node; that it never does is for a claim to judge."""
    with suppress(LabError):
        wait_until(
            lambda: not names or ask(lab.host(CLIENT), names[:1])[0].connected,
            seconds=_NETMAP_SECONDS,
            what="the client reaches the new node",
        )


def _patiently(lab: Lab, asks: Sequence[Ask]) -> list[AttemptSeen]:
    """Ask from the client, again where nothing came back, and say how often.

    Of short connections in userspace mode, one in some 150 times out with nothing amiss; an answer, of
    whatever kind, is never asked for again.
    """
    found = ask(lab.host(CLIENT), asks)
    for tries in range(2, _TRIES + 1):
        failed = [i for i, attempt in enumerate(found) if not answered(_same(asks, attempt), attempt)]
        for i in failed:
            (again,) = ask(lab.host(CLIENT), [_same(asks, found[i])])
            found[i] = replace(again, tries=tries)
    return found


def answered(asked: Ask, attempt: AttemptSeen) -> bool:
    """Whether something came back: a connection, and over bare TCP of what is awaited at least a byte. Pure.

    There, a dial that has not come to an end looks like a connection on which nobody speaks.
    """
    return attempt.connected and bool(attempt.body or not (asked.bare and asked.awaits))


def _same(asks: Sequence[Ask], attempt: AttemptSeen) -> Ask:
    return next(
        a for a in asks if (a.url, a.promise, a.named) == (attempt.target, attempt.promise, attempt.named)
    )
