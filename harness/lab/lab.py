"""The lab: owns every host of a topology, from nothing to ready and back to nothing."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self, TypeVar

import trustme
from docker import DockerClient

from harness.engine.engine import Engine
from harness.errors import LabError
from harness.lab import control as control_server
from harness.lab import host_plans, node, router
from harness.lab.control import Control
from harness.lab.echo import Echo
from harness.lab.hosts import Boot, Hosts
from harness.lab.member import Member
from harness.lab.node import Node
from harness.lab.router import Router
from harness.lab.running_host import RunningHost
from harness.lab.topology import Host, Role, Topology
from harness.run.progress import Progress
from harness.run.run import Run

T = TypeVar("T")
_ACME_SECONDS = 20

# Those with the longest way to being ready are started first: the engine inside the node takes longest.
_LONGEST_FIRST = (Role.NODE, Role.CONTROL, Role.ACME, Role.MEMBER, Role.ECHO, Role.BYSTANDER)


class Lab:
    """Owns the hosts. Entering boots them, side by side where they can be; leaving removes all.

    Attributes:
        topology: what it is, as data.
        hosts: every host that runs, by name, the router among them.
        router, echo, control, node, members: the parts, once entered.
    """

    def __init__(
        self,
        topology: Topology,
        run: Run,
        client: DockerClient,
        *,
        engine: Engine,
        images: Mapping[str, str],
        seed: str,
        authority: trustme.CA,
        progress: Progress,
    ) -> None:
        """Describe the lab; nothing runs before it is entered.

        Args:
            topology: its hosts and addresses, validated.
            run: the run that owns it.
            client: the engine's client.
            engine: the engine.
            images: the reference of each lab image.
            seed: the volume that holds the examples' images for the node's engine.
            authority: the lab's CA.
            progress: where the boot is shown.
        """
        self.topology = topology
        self._running = Hosts(client, engine, run)
        self.hosts: Mapping[str, RunningHost] = self._running.by_name
        self.members: dict[str, Member] = {}
        self._images = images
        self._seed = seed
        self._authority = authority
        self._progress = progress
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            with self._running.boot(len(self.topology.hosts) + 4) as boot:
                self._boot(boot)
        except BaseException:
            self.close()
            raise
        return self

    def _boot(self, boot: Boot) -> None:
        topology = self.topology
        with self._progress.stage("router", "flow book, DNS, wires"):
            image = self._images[host_plans.ROUTER_IMAGE]
            self.router = Router(self._running.start(router.plan(topology, image)))
        shared = self.router.host.id
        in_order = sorted(topology.hosts, key=lambda host: _LONGEST_FIRST.index(host.role))
        started = {host.name: boot.starts.submit(self._join, host, shared) for host in in_order}

        def after(name: str, work: Callable[[RunningHost], T]) -> Future[T]:
            return boot.work.submit(lambda: work(started[name].result()))

        described = topology.only(Role.CONTROL)
        control = after(described.name, lambda host: self._control(host, described))
        echo = after(topology.only(Role.ECHO).name, lambda host: self._echo(host, topology.only(Role.ECHO)))
        acme = [after(host.name, self._acme) for host in topology.with_role(Role.ACME)]
        nomad = after(topology.only(Role.NODE).name, self._node)
        members = {
            host.name: boot.work.submit(self._member, host, started[host.name], control)
            for host in topology.with_role(Role.MEMBER)
        }
        self.control: Control = control.result()
        self.echo: Echo = echo.result()
        self.members = {name: member.result() for name, member in members.items()}
        self.node: Node = nomad.result()
        for ready in acme:
            ready.result()
        for host_started in started.values():
            host_started.result()

    def _join(self, host: Host, shared: str) -> RunningHost:
        volumes = {}
        if host.role is Role.NODE:
            volumes = {
                host_plans.NODE_DATA: self._running.volume(host.name),
                host_plans.NODE_SEED: self._seed,
            }
        image = host.image or self._images[host_plans.image_name(self.topology, host)]
        running = self._running.start(
            host_plans.plan(self.topology, host, image, self._authority, router=shared, volumes=volumes)
        )
        self.router.join([host.name])
        return running

    def _control(self, host: RunningHost, described: Host) -> Control:
        with self._progress.stage(host.name, f"{self.topology.program}, DERP, STUN"):
            control = control_server.connect(host, described, self.topology)
            self._stack.callback(control.close)
            return control

    def _acme(self, host: RunningHost) -> None:
        described = self.topology.only(Role.ACME)
        with self._progress.stage(host.name, "ACME, as Let's Encrypt"):
            address = f"TCP:127.0.0.1:{described.port('https')}"
            host.wait_for_listener(address, seconds=_ACME_SECONDS, what="the ACME server listens")

    def _echo(self, host: RunningHost, described: Host) -> Echo:
        with self._progress.stage(host.name, "HTTP, HTTPS, TCP, UDP"):
            echo = Echo(host, described)
            echo.wait_until_ready()
            return echo

    def _node(self, host: RunningHost) -> Node:
        with self._progress.stage(host.name, "Docker engine, Nomad agent"):
            ready = node.connect(host)
            self._stack.callback(ready.close)
            return ready

    def _member(self, described: Host, started: Future[RunningHost], control: Future[Control]) -> Member:
        with self._progress.stage(described.name, "joins the tailnet") as stage:
            member = Member(started.result(), described)
            member.wait_until_ready()
            stage.update("waits for the control server")
            server = control.result()
            stage.update("joins the tailnet")
            member.join(server.login_server, server.member_key(member.membership))
            return member

    def certificate(self, names: Sequence[str], *, not_after: datetime) -> bytes:
        """A certificate of the lab's CA for some names, with its chain and its key, all as PEM.

        Args:
            names: names and addresses.
            not_after: when it ends, which may be past.
        """
        issued = self._authority.issue_cert(
            *names, not_before=not_after - timedelta(days=1), not_after=not_after
        )
        return b"".join(blob.bytes() for blob in (issued.private_key_pem, *issued.cert_chain_pems))

    def host(self, name: str) -> RunningHost:
        """A running host by name. Raises LabError naming those there are."""
        return self._running.named(name, of="the lab")

    def close(self) -> None:
        """Remove every host, side by side, then what they stood on; what fails keeps nothing else."""
        with self._progress.stage("removal", "hosts, wires, volumes"):
            failures = self._running.remove()
            self._stack.close()
        if failures:
            raise LabError(
                f"{len(failures)} parts of the lab could not be removed: {failures[0]}", remedy="notailcar gc"
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
