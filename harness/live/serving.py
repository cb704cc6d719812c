"""Looks at what a job serves on a live site: from members, from outside, and what its tailscaled says."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from harness.errors import LabError
from harness.job.example import ServePromise
from harness.job.rendering import Rendered
from harness.lab.topology import CLIENT, STRANGER
from harness.ledger.facts import (
    AttemptSeen,
    PortsHeld,
    RegisteredService,
    ServeSeen,
    TailnetNode,
    Way,
)
from harness.live import asking
from harness.live.companion import Member, Witness
from harness.live.scene import Scene
from harness.live.values import promised
from harness.management.nomad import Allocation
from harness.management.waiting import wait_until
from harness.probes import consul, serve
from harness.probes.asking import ADDRESS, FULL_NAME, Ask

_NETMAP_SECONDS = 30
_PAUSE = 0.5
_TRIES = 3
# The socket of the tailscaled of this container, wherever its job has put it.
_SERVE_STATUS = r"""
for file in /proc/[0-9]*/cmdline; do
    socket=$(tr '\0' '\n' < "$file" 2> /dev/null | sed -n 's/^--socket=//p')
    if [ -S "$socket" ]; then exec tailscale --socket="$socket" serve status --json; fi
done
exit 44
"""


def look(
    scene: Scene,
    allocations: Sequence[Allocation],
    *,
    rendered: Rendered,
    joined: Sequence[TailnetNode],
    node: set[str],
    here: Sequence[Witness],
) -> None:
    """Ask for every promise from everywhere, and write down what came of it. Raises LabError.

    Args:
        scene: the execution.
        allocations: the job's, as they serve.
        rendered: the job.
        joined: the nodes by which it joined the tailnet.
        node: the addresses of the clients that it runs on.
        here: the witnesses on them.
    """
    stage, pool = scene.stage, scene.pool
    running = [a for a in allocations if not a.over]
    held = tuple(port for a in allocations for port in stage.nomad.ports(a.id))
    scene.write(PortsHeld(",".join(a.id for a in allocations), held), "nomad")
    registered: tuple[RegisteredService, ...] = ()
    if rendered.in_consul and stage.consul:
        catalogue = consul.look(stage.consul, [a.id for a in allocations])
        scene.write(catalogue, "consul")
        registered = catalogue.registered
    promises = [replace(p, url=promised(p.url, stage.settings)) for p in scene.example.smoke.serve]
    asks = _asks(scene, promises, joined)
    members = {name: pool.submit(scene.companions.member, name) for name in (CLIENT, STRANGER)}
    client, stranger = members[CLIENT].result(), members[STRANGER].result()
    attempts: list[Future[list[AttemptSeen]]] = []
    if client:
        _wait_for_netmap(client, asks)
        attempts.append(pool.submit(_patiently, client, [a for a in asks if a.named != ADDRESS]))
    if stranger:
        notice = stage.settings.tailnet.notice_url
        controls = [Ask(Way.TAILNET, notice, FULL_NAME, _port(notice), control=True)] if notice else []
        attempts.append(pool.submit(asking.ask, stranger, [*asks, *controls]))
    listening = frozenset(w.port() for w in here)
    ports = sorted({*held, *(a.port for a in asks), *listening})
    targets = [(address, port) for address in sorted(node) for port in ports]
    attempts.append(pool.submit(asking.from_here, targets, listening))
    if stage.observer:
        outside = [(address, port) for address, port in targets if not asking.is_inside(address)]
        attempts.append(pool.submit(asking.from_outside, stage.observer, outside, listening))
        for service in registered:
            led = sorted({*asking.resolved(service.address), *(a for n in joined for a in n.addresses)})
            attempts.append(pool.submit(asking.led_outside, stage.observer, service, led))
    for allocation in running:
        _published(scene, allocation, rendered)
    for answered in attempts:
        for attempt in answered.result():
            scene.write(attempt, attempt.by)


def _asks(
    scene: Scene,
    promises: Sequence[ServePromise],
    joined: Sequence[TailnetNode],
) -> list[Ask]:
    domain = scene.stage.settings.tailnet.domain or "ts.net"
    # Where nodes cannot be listed, the name that the job was given is the one that it has.
    nodes = joined or (TailnetNode("", scene.name, (), (), "", ephemeral=False, online=True),)
    return [a for n, p in enumerate(promises, 1) for a in serve.of_promise(n, p, nodes, domain)]


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _wait_for_netmap(client: Member, asks: Sequence[Ask]) -> None:
    """Wait for the client to hear of the new node; that it never does is for a claim to judge."""
    with suppress(LabError):
        wait_until(
            lambda: not asks or asking.ask(client, asks[:1])[0].connected,
            seconds=_NETMAP_SECONDS,
            what="the client reaches the new node",
            pause=_PAUSE,
        )


def _patiently(client: Member, asks: Sequence[Ask]) -> list[AttemptSeen]:
    """Ask, again where no connection came about, and say how often; an answer is never asked for again."""
    found = asking.ask(client, asks)
    for tries in range(2, _TRIES + 1):
        failed = [i for i, attempt in enumerate(found) if not attempt.connected]
        for i, again in zip(failed, asking.ask(client, [asks[i] for i in failed]), strict=True):
            found[i] = replace(again, tries=tries)
    return found


def _published(scene: Scene, allocation: Allocation, rendered: Rendered) -> None:
    """Write down what its tailscaled publishes, and whether the backends that this leads to answer there."""
    shell = scene.stage.shell
    for task in sorted(rendered.sidecars):
        said = shell.run(allocation.id, task, "sh", "-c", _SERVE_STATUS)
        if said.exit_code:
            continue
        try:
            config: dict[str, Any] = json.loads(said.stdout)
        except ValueError as error:
            raise LabError(
                f"task {task} of {allocation.id[:8]}: `tailscale serve status --json` says no JSON",
                log=said.stdout[:500] + said.stderr[:500],
            ) from error
        scene.write(ServeSeen(allocation.id, funnel(config)), "tailscaled")
        sealed = sorted(rendered.sealed)
        for port in backends(config):
            # `nc` of BusyBox says by its exit code whether anything took the connection.
            tried = shell.run(allocation.id, task, "sh", "-c", f"nc -w 2 127.0.0.1 {port} < /dev/null")
            for named in [f"{t}-{allocation.id}" for t in sealed] or ["127.0.0.1"]:
                attempt = AttemptSeen(
                    by="allocation",
                    way=Way.LOOPBACK,
                    target=f"tcp 127.0.0.1:{port} in {task}",
                    named=named,
                    port=port,
                    promise=0,
                    connected=tried.exit_code == 0,
                    error=tried.stderr[-200:],
                )
                scene.write(attempt, "allocation")
        return


def _parts(config: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    yield config
    yield from (config.get("Services") or {}).values()
    yield from (config.get("Foreground") or {}).values()


def funnel(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What `tailscale serve status --json` says that the whole internet may reach: HOST:PORT. Pure."""
    found = {at for part in _parts(config) for at, on in (part.get("AllowFunnel") or {}).items() if on}
    return tuple(sorted(found))


def backends(config: Mapping[str, Any]) -> tuple[int, ...]:
    """The ports on loopback that it leads to. Pure."""
    ports = set()
    for part in _parts(config):
        for handler in (part.get("TCP") or {}).values():
            if target := handler.get("TCPForward"):
                ports.add(int(str(target).rpartition(":")[2]))
        for site in (part.get("Web") or {}).values():
            for handler in (site.get("Handlers") or {}).values():
                parts = urlsplit(str(handler.get("Proxy") or ""))
                if parts.port:
                    ports.add(parts.port)
    return tuple(sorted(ports))


def addresses_of(node: Mapping[str, Any]) -> set[str]:
    """The addresses of a client's own network, as Nomad's servers know them. Pure.

    Of that network alone: the bridges of its engine have addresses that every machine has.
    """
    own = str((node.get("Attributes") or {}).get("unique.network.ip-address") or "")
    found = {own} - {""}
    for network in (node.get("NodeResources") or {}).get("NodeNetworks") or ():
        addresses = {str(a.get("Address") or "") for a in network.get("Addresses") or ()}
        if own in addresses:
            found |= addresses
    return {a for a in found if a and not a.startswith(("127.", "fe80:", "169.254.")) and a != "::1"}
