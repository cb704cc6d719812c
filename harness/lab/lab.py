"""The lab: owns every host of a topology, from nothing to ready and back to nothing."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self, TypeVar

import trustme
from docker import DockerClient

from harness.errors import LabError
from harness.lab import control as control_server
from harness.lab import host_plans, node, router
from harness.lab.control import Control
from harness.lab.echo import Echo
from harness.lab.member import Member
from harness.lab.node import Node
from harness.lab.router import Router
from harness.lab.running_host import HostPlan, RunningHost
from harness.lab.topology import Host, Role, Topology
from harness.run.progress import Progress
from harness.run.run import Run

T = TypeVar("T")
_ACME_SECONDS = 20

# Containers are started a few at a time, those with the longest way to being ready first: side by side, all
# of them would be there late, and the engine inside the node, which takes longest, last of all.
_STARTS_AT_ONCE = 4
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
        engine: DockerClient,
        *,
        engine_url: str,
        images: Mapping[str, str],
        seed: str,
        authority: trustme.CA,
        progress: Progress,
    ) -> None:
        """Describe the lab; nothing runs before it is entered.

        Args:
            topology: its hosts and addresses, validated.
            run: the run that owns it.
            engine: the engine's client.
            engine_url: the engine's address, as in DOCKER_HOST.
            images: the reference of each lab image.
            seed: the volume that holds the examples' images for the node's engine.
            authority: the lab's CA.
            progress: where the boot is shown.
        """
        self.topology = topology
        self.hosts: dict[str, RunningHost] = {}
        self.members: dict[str, Member] = {}
        self._run = run
        self._engine = engine
        self._url = engine_url
        self._images = images
        self._seed = seed
        self._authority = authority
        self._progress = progress
        self._stack = ExitStack()
        self._given_up = threading.Event()

    def __enter__(self) -> Self:
        with (
            ThreadPoolExecutor(len(self.topology.hosts) + 4, thread_name_prefix="boot") as pool,
            ThreadPoolExecutor(_STARTS_AT_ONCE, thread_name_prefix="start") as starts,
        ):
            try:
                self._boot(pool, starts)
            except BaseException:
                self._given_up.set()
                starts.shutdown(wait=False, cancel_futures=True)
                pool.shutdown(wait=False, cancel_futures=True)
                # What the other threads still wait for in hosts ends with the hosts.
                self._remove_hosts()
                starts.shutdown(wait=True)
                pool.shutdown(wait=True)
                self.close()
                raise
        return self

    def _boot(self, pool: ThreadPoolExecutor, starts: ThreadPoolExecutor) -> None:
        topology = self.topology
        with self._progress.stage("router", "flow book, DNS, wires"):
            image = self._images[host_plans.ROUTER_IMAGE]
            self.router = Router(self._start(router.plan(topology, image)))
        shared = self.router.host.id
        in_order = sorted(topology.hosts, key=lambda host: _LONGEST_FIRST.index(host.role))
        started = {host.name: starts.submit(self._join, host, shared) for host in in_order}

        def after(name: str, work: Callable[[RunningHost], T]) -> Future[T]:
            return pool.submit(lambda: work(started[name].result()))

        described = topology.only(Role.CONTROL)
        control = after(described.name, lambda host: self._control(host, described))
        echo = after(topology.only(Role.ECHO).name, lambda host: self._echo(host, topology.only(Role.ECHO)))
        acme = [after(host.name, self._acme) for host in topology.with_role(Role.ACME)]
        nomad = after(topology.only(Role.NODE).name, self._node)
        members = {
            host.name: pool.submit(self._member, host, started[host.name], control)
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

    def _start(self, plan: HostPlan) -> RunningHost:
        host = RunningHost(self._engine, self._url, plan, self._run)
        self.hosts[plan.name] = host
        host.start()
        if self._given_up.is_set():
            raise LabError(f"{plan.name}: the boot was given up")
        return host

    def _join(self, host: Host, shared: str) -> RunningHost:
        volumes = {}
        if host.role is Role.NODE:
            data = self._engine.volumes.create(
                f"notailcar-{self._run.id}-{host.name}", labels=self._run.labels
            )
            self._stack.callback(data.remove, force=True)
            volumes = {host_plans.NODE_DATA: data.name, host_plans.NODE_SEED: self._seed}
        image = self._images[host_plans.image_name(self.topology, host)]
        running = self._start(
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
        try:
            return self.hosts[name]
        except KeyError:
            raise LabError(f"the lab has no host {name}; it has {', '.join(sorted(self.hosts))}") from None

    def close(self) -> None:
        """Remove every host, side by side, then what they stood on; what fails keeps nothing else."""
        with self._progress.stage("removal", "hosts, wires, volumes"):
            failures = self._remove_hosts()
            self._stack.close()
            self.hosts.clear()
        if failures:
            raise LabError(
                f"{len(failures)} parts of the lab could not be removed: {failures[0]}", remedy="notailcar gc"
            )

    def _remove_hosts(self) -> list[Exception]:
        """Remove the containers that there are; give what went wrong. Removing them again does no harm."""
        failures: list[Exception] = []

        def remove(host: RunningHost) -> None:
            try:
                host.close()
            except Exception as error:  # noqa: BLE001 - collected, so that one host keeps no other from going
                failures.append(error)

        others = [host for host in self.hosts.values() if host.name != self.topology.internet.name]
        with ThreadPoolExecutor(max(1, len(others)), thread_name_prefix="close") as pool:
            list(pool.map(remove, others))
        if self.topology.internet.name in self.hosts:
            remove(self.hosts[self.topology.internet.name])
        return failures

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
