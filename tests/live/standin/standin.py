"""The stand-in: owns every host of a cluster and its tailnet, and gives what a person would know of them."""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

import trustme
from docker import DockerClient

from harness.engine.engine import Engine
from harness.errors import LabError
from harness.lab import control as control_server
from harness.lab import host_plans, router
from harness.lab.control import Control
from harness.lab.echo import Echo
from harness.lab.hosts import Boot, Hosts
from harness.lab.member import Member
from harness.lab.router import Router
from harness.lab.running_host import FILES, HostPlan, RunningHost
from harness.lab.topology import Host, Role
from harness.lab.wiring import device
from harness.management.consul import ConsulClient
from harness.management.waiting import wait_until
from harness.run import places
from harness.run.progress import Progress
from harness.run.run import Run
from tests.live.standin import plans
from tests.live.standin.administrator import Administrator, ClientNode
from tests.live.standin.authority import CA, ClusterAuthority, tls_name
from tests.live.standin.hosts import (
    CLIENT_USER,
    CLIENTS,
    CONSUL,
    EXITS,
    NOTICE,
    OBSERVER,
    OPERATOR,
    SERVERS,
    STRANGER_USER,
    TOPOLOGY,
    address,
)
from tests.live.standin.left import Left
from tests.live.standin.observer import IMAGE as OBSERVER_IMAGE
from tests.live.standin.observer import Observer
from tests.live.standin.operator import Operator

T = TypeVar("T")

POLICY = "live/nomad-policy.hcl"
"""Of the fixtures: what the operator's token may do."""
SPOKEN_TO = "server-2"
"""The server whose address is in NOMAD_ADDR."""
_CONSULS_OWN = "consul"
"""The service that a Consul server is, in its own catalogue."""
_READY_SECONDS = 60
_LEADER_SECONDS = 30
_DRAIN_DEADLINE = timedelta(seconds=5)
# Those with the longest way to being ready first: three servers elect one, a client has an engine to start.
_STARTED_FIRST = (*CLIENTS, *SERVERS, CONSUL, "control")


class StandIn:
    """Owns the hosts. Entering boots them, side by side where they can be; leaving removes all.

    Attributes:
        hosts: every host that runs, by name, the router among them.
        router, control, administrator, operator: the parts, once entered.
    """

    def __init__(
        self,
        run: Run,
        client: DockerClient,
        *,
        engine: Engine,
        images: Mapping[str, str],
        seed: str,
        authority: trustme.CA,
        programs: Sequence[Path],
        progress: Progress,
    ) -> None:
        """Describe the stand-in; nothing runs before it is entered.

        Args:
            run: the run that owns it.
            client: the engine's client.
            engine: the engine.
            images: the reference of each lab image.
            seed: the volume that holds the examples' images for the clients' engines.
            authority: the lab's CA, which the tailnet's hosts and the examples' images trust.
            programs: folders of the programs that an operator has, such as nomad.
            progress: where the boot is shown.
        """
        self._running = Hosts(client, engine, run)
        self.hosts: Mapping[str, RunningHost] = self._running.by_name
        self._images = images
        self._seed = seed
        self._authority = authority
        self._cluster = ClusterAuthority()
        self._observer = Observer()
        self._programs = programs
        self._progress = progress
        self._folder = run.folder / "operator"
        self._stack = ExitStack()

    # -- from nothing to ready, and back

    def __enter__(self) -> Self:
        try:
            with self._running.boot(2 * len(TOPOLOGY.hosts)) as boot:
                self._boot(boot)
            self._settle()
        except BaseException:
            self.close()
            raise
        return self

    def _boot(self, boot: Boot) -> None:
        with self._progress.stage("router", "DNS, wires"):
            image = self._images[host_plans.ROUTER_IMAGE]
            self.router = Router(self._running.start(router.plan(TOPOLOGY, image)))
        names = (*_STARTED_FIRST, *(h.name for h in TOPOLOGY.hosts if h.name not in _STARTED_FIRST))
        started = {name: boot.starts.submit(self._join, TOPOLOGY.host(name)) for name in names}

        def after(name: str, work: Callable[[RunningHost], T]) -> Future[T]:
            return boot.work.submit(lambda: work(started[name].result()))

        control = after("control", self._control)
        members = [
            boot.work.submit(self._member, host, started[host.name], control)
            for host in TOPOLOGY.with_role(Role.MEMBER)
        ]
        receivers = [after(host.name, self._receiver) for host in TOPOLOGY.with_role(Role.ECHO)]
        servers = boot.work.submit(lambda: self._servers([started[name].result() for name in SERVERS]))
        self.administrator, self._token = servers.result()
        clients = [after(name, self._client) for name in CLIENTS]
        self.control: Control = control.result()
        for ready in (*members, *receivers, *clients):
            ready.result()
        for host in started.values():
            host.result()

    def _join(self, host: Host) -> RunningHost:
        running = self._running.start(self._plan(host))
        self.router.join([host.name])
        return running

    def _plan(self, host: Host) -> HostPlan:
        shared = self.router.host.id
        if host.name == OBSERVER:
            return self._observer.plan(self._images[OBSERVER_IMAGE], router=shared)
        volumes: Mapping[str, str] = {}
        if host.name in SERVERS:
            inhabitant = plans.nomad_server(host.name, self._cluster)
        elif host.name in CLIENTS:
            inhabitant = plans.nomad_client(host.name, self._cluster)
            volumes = {
                host_plans.NODE_DATA: self._running.volume(host.name),
                host_plans.NODE_SEED: self._seed,
            }
        elif host.name == CONSUL:
            inhabitant = plans.consul_server()
        else:
            image = self._images[host_plans.image_name(TOPOLOGY, host)]
            return host_plans.plan(TOPOLOGY, host, image, self._authority, router=shared, volumes=volumes)
        image = self._images["node"]
        return host_plans.inhabited(host, inhabitant, image, router=shared, volumes=volumes)

    def _control(self, host: RunningHost) -> Control:
        with self._progress.stage(host.name, "headscale, DERP, STUN"):
            control = control_server.connect(host, TOPOLOGY.only(Role.CONTROL), TOPOLOGY)
            self._stack.callback(control.close)
            for user in (CLIENT_USER, STRANGER_USER):
                control.client.create_user(user)
            return control

    def _member(self, described: Host, started: Future[RunningHost], control: Future[Control]) -> None:
        with self._progress.stage(described.name, "joins the tailnet"):
            member = Member(started.result(), described)
            member.wait_until_ready()
            server = control.result()
            member.join(server.login_server, server.member_key(member.membership))

    def _receiver(self, host: RunningHost) -> None:
        with self._progress.stage(host.name, "HTTP, HTTPS, TCP, UDP"):
            Echo(host, TOPOLOGY.host(host.name)).wait_until_ready()

    def _servers(self, hosts: Sequence[RunningHost]) -> tuple[Administrator, str]:
        with self._progress.stage("servers", "three elect one; ACLs, a scoped token"):
            for host in hosts:
                host.wait_for_listener(
                    f"TCP:127.0.0.1:{plans.HTTP_PORT}", seconds=_READY_SECONDS, what="its agent listens"
                )
            administrator = Administrator(hosts)
            self._stack.callback(administrator.close)
            administrator.bootstrap(_LEADER_SECONDS)
            rules = (places.fixtures() / POLICY).read_text(encoding="utf-8")
            return administrator, administrator.client_token("notailcar", rules)

    def _client(self, host: RunningHost) -> None:
        with self._progress.stage(host.name, "Docker engine, Consul, Nomad agent"):
            self.wait_for_client(host.name)

    def _settle(self) -> None:
        """What there is from now on is the stand-in's own, and nothing of it is a run's."""
        # Members that joined need theirs no more, and no run is to find a key that it did not make.
        self.control.revoke_keys()
        command = ("headscale", f"--config={FILES}/config.yaml", "apikeys", "create", "--expiration=24h")
        self._api_key = self.control.host.run(*command).expect().stdout.split()[-1]
        self._own_nodes = frozenset(node.id for node in self.control.client.nodes())
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / CA).write_bytes(self._cluster.pem)
        (self._folder / "tailnet-ca.pem").write_bytes(self._authority.cert_pem.bytes())
        resolvers = (str(TOPOLOGY.internet.v4), str(TOPOLOGY.internet.v6))
        operator = Operator(self.hosts[OPERATOR], resolvers, self._programs, self._folder)
        self._stack.callback(operator.close)
        self.operator = operator
        consul = self.hosts[CONSUL].transport("socat", "-", f"TCP:127.0.0.1:{plans.CONSUL_PORT}")
        self._consul = ConsulClient(consul)
        self._stack.callback(self._consul.close)

    def close(self) -> None:
        """End what the operator runs, and remove every host. Raises LabError for what stays."""
        with self._progress.stage("removal", "hosts, wires, volumes"):
            self._stack.close()
            failures = self._running.remove()
        if failures:
            raise LabError(
                f"{len(failures)} parts of the stand-in could not be removed: {failures[0]}",
                remedy="notailcar gc",
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what a person knows of it

    def settings(self) -> dict[str, str]:
        """What a person would write into .env, and nothing else. Some of it is secret."""
        exits = (f"{name}={name} {' '.join(map(str, _public(name)))}" for name in EXITS)
        return {
            "NOMAD_ADDR": f"https://{address(SPOKEN_TO)}:{plans.HTTP_PORT}",
            "NOMAD_TOKEN": self._token,
            "NOMAD_CACERT": str(self._folder / CA),
            "NOMAD_TLS_SERVER_NAME": tls_name("server"),
            "CONSUL_HTTP_ADDR": f"http://{address(CONSUL)}:{plans.CONSUL_PORT}",
            "TAILNET_LOGIN_SERVER": self.control.login_server,
            "TAILNET_CACERT": str(self._folder / "tailnet-ca.pem"),
            "TAILNET_DOMAIN": TOPOLOGY.tailnet_domain,
            "TAILNET_SERVE_SCHEME": "http",
            "HEADSCALE_API_KEY": self._api_key,
            "EXIT_NODES": "; ".join(exits),
            "TAILNET_CLIENT": CLIENT_USER,
            "TAILNET_STRANGER": STRANGER_USER,
            "TAILNET_NOTICE_URL": f"http://{NOTICE}.{TOPOLOGY.tailnet_domain}/",
            **self._observer.settings(self._folder),
        }

    def run(
        self,
        argv: Sequence[str],
        settings: Mapping[str, str],
        *,
        folder: Path | None = None,
        output: IO[str] | int = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start a program of this machine from the operator's network; it is found on PATH, as nomad is.

        It sees the lab's internet and its DNS, and neither this machine's network nor an engine. Its process
        id and its process group are the program's own, for signals.

        Args:
            argv: the program and its arguments.
            settings: its environment: `settings()`, or others.
            folder: where it is started.
            output: where both its streams go; as they are, a pipe to be read.
        """
        return self.operator.start(argv, settings, folder=folder, output=output)

    # -- what may happen to it

    @contextmanager
    def without(self, server: str) -> Iterator[None]:
        """For the time of the block, a server is gone, from one moment to the next (SIGKILL)."""
        self.kill(server)
        try:
            yield
        finally:
            self.bring_back(server)

    def kill(self, server: str) -> None:
        """End a server's agent, and its host, by SIGKILL."""
        self.hosts[server].kill()
        self.administrator.forget(server)
        wait_until(
            lambda: self.hosts[server].state == "exited", seconds=_READY_SECONDS, what=f"{server} is gone"
        )

    def let_lead(self, server: str) -> None:
        """Let a server be the leader, as it may be any of three; wait until it is."""
        if self.wait_for_leader() != server:
            self.administrator.transfer_leadership(server)
        wait_until(
            lambda: self.administrator.leader() == server,
            seconds=_LEADER_SECONDS,
            what=f"{server} leads",
            transient=(LabError,),
        )

    def kill_leader(self) -> str:
        """End whichever server leads, by SIGKILL; its name."""
        server = self.administrator.leader()
        self.kill(server)
        return server

    def bring_back(self, server: str) -> None:
        """Start a server again that was killed, with what it had on disk; wait until it is one of three."""
        host = self.hosts[server]
        host.start_again()
        self.router.join([server])
        host.wait_for_listener(
            f"TCP:127.0.0.1:{plans.HTTP_PORT}", seconds=_READY_SECONDS, what="its agent listens"
        )
        wait_until(
            lambda: server in self.administrator.voters(),
            seconds=_READY_SECONDS,
            what=f"{server} has a vote again",
            transient=(LabError,),
            tail=host.log,
        )

    def wait_for_leader(self, *, other_than: str = "") -> str:
        """Wait until the servers have a leader; its name.

        Args:
            other_than: a server that was killed, and may still be taken for one.
        """

        def led() -> str | None:
            server = self.administrator.leader()
            return None if server == other_than else server

        return wait_until(
            led, seconds=_LEADER_SECONDS, what="the servers have a leader", transient=(LabError,)
        )

    @contextmanager
    def drained(self, client: str) -> Iterator[None]:
        """For the time of the block, a client is drained: what ran there is moved or stopped."""
        self.administrator.drain(client, _DRAIN_DEADLINE)
        try:
            yield
        finally:
            self.administrator.undrain(client)
            self.wait_for_client(client)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """For the time of the block, no packet of the operator's arrives anywhere, nor one for it."""
        wire = device(OPERATOR)
        with self.router.dropping(f'iifname "{wire}"', f'oifname "{wire}"'):
            yield

    def wait_for_client(self, name: str) -> ClientNode:
        """Wait until jobs can be placed on a client."""

        def ready() -> ClientNode | None:
            return next(
                (node for node in self.administrator.clients() if node.name == name and node.ready), None
            )

        return wait_until(
            ready,
            seconds=_READY_SECONDS,
            what=f"{name} is ready, with a healthy Docker driver",
            transient=(LabError,),
            tail=self.hosts[name].log,
        )

    # -- what a run left

    def left(self) -> Left:
        """What is there beyond what the stand-in came up with, at this moment."""
        return Left(
            jobs=self.administrator.jobs(),
            allocations=self.administrator.live_allocations(),
            variables=self.administrator.variables(),
            namespaces=self.administrator.namespaces(),
            nodes=tuple(sorted(n.name for n in self.control.client.nodes() if n.id not in self._own_nodes)),
            keys=self.control.client.good_keys(),
            services=tuple(sorted(set(self._consul.services()) - {_CONSULS_OWN})),
            containers=tuple(each for client in CLIENTS for each in self._containers(client)),
        )

    def _containers(self, client: str) -> list[str]:
        listed = self.hosts[client].run("docker", "ps", "--all", "--format", "{{.Names}}").expect().stdout
        return [f"{client}/{name}" for name in sorted(listed.split())]


def _public(name: str) -> tuple[str, str]:
    host = TOPOLOGY.host(name)
    return str(host.v4[0]), str(host.v6[0])
