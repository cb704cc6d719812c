"""The episode that matters most: the job as a user runs it, alone on its node, with every observer open."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from harness.errors import LabError
from harness.job.example import Example
from harness.job.rendering import Rendered
from harness.job.submission import OwnNamespace, Submission
from harness.lab.flowbook import FlowBook
from harness.lab.router import Capture
from harness.lab.topology import CLIENT, Role
from harness.ledger.episodes import AS_IT_STANDS, CONTROL
from harness.ledger.facts import (
    EpisodeEnded,
    Fact,
    LaunchSeen,
    Moment,
    PortsHeld,
    RegisteredService,
    TailnetNode,
    TailnetSeen,
)
from harness.management.nomad import Allocation
from harness.management.waiting import wait_until
from harness.probes import (
    backends,
    browsing,
    consul,
    control_traffic,
    following,
    packets,
    ports,
    recording,
    secret_scan,
    serve,
    watch,
)
from harness.probes.following import Watched
from harness.probes.secret_scan import Secret
from harness.probes.stage import Stage

_LEAVE_SECONDS = 15


def run(stage: Stage, example: Example) -> Rendered:
    """Run an example to its end and fill the ledger: first the controls, then the job.

    Gives the rendered job, for further episodes. Raises LabError when the lab or an observer fails,
    UsageError when the job cannot be read.
    """
    with (
        stage.progress.stage(example.name, "runs as it stands") as shown,
        Execution(stage, example, shown.update) as execution,
    ):
        execution.begin()
        execution.follow()
        execution.end()
    return execution.rendered


@dataclass(frozen=True)
class _Traffic:
    """The observers of what a job sends out: from where they are read, and the capture that runs."""

    begin: watch.Mark
    capture: Capture


class Execution:
    """Owns one execution of an example as it stands: its job, and the observers around it.

    Its steps are called in this order: `begin`, `follow`, `end`. What happens between them is part of it.

    Attributes:
        submission: the job, once it has begun.
        rendered: the same as data.
    """

    submission: Submission
    rendered: Rendered

    def __init__(self, stage: Stage, example: Example, say: Callable[[str], None]) -> None:
        """Describe it; nothing runs before `begin`. `say` is told what it is at."""
        self.stage = stage
        self.lab = stage.lab
        self.example = example
        self._say = say
        self._stack = ExitStack()
        self._allocations: list[Allocation] = []
        self._search: secret_scan.WhileRunning | None = None

    def __enter__(self) -> Self:
        self.pool = self._stack.enter_context(ThreadPoolExecutor(8, thread_name_prefix="episode"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def write(self, fact: Fact, observer: str, episode: str = AS_IT_STANDS) -> None:
        """Write down a fact of it."""
        self.stage.ledger.write(fact, observer=observer, subject=self.example.name, episode=episode)

    def nodes(self, moment: Moment) -> tuple[TailnetNode, ...]:
        """Read, and write down, who is in the tailnet."""
        nodes = self.lab.control.client.nodes()
        self.write(TailnetSeen(moment, nodes), self.lab.topology.program)
        return nodes

    def begin(self) -> None:
        """Send the control traffic, open the observers, register the job. Raises LabError, UsageError."""
        self._say("controls")
        began = time.time()
        rendering = self.pool.submit(self.stage.render, self.example)
        before = self.pool.submit(self.nodes, Moment.BEFORE)
        key = self.pool.submit(
            self.lab.control.client.create_key,
            tags=self.example.smoke.tags,
            ephemeral=True,
            reusable=True,
        )
        self._traffic = None if self.example.smoke.serve else self._watch_traffic()
        if self._traffic:
            self.write(EpisodeEnded(began, time.time(), "the control traffic was sent"), "harness", CONTROL)
        self.rendered = rendering.result()
        self._secret = Secret(key.result())
        self._before = {n.id for n in before.result()}
        self._job_began = time.time()
        self._say("the job runs")
        self.submission = self._stack.enter_context(
            Submission(self.lab.node.nomad, self.rendered, OwnNamespace(AS_IT_STANDS))
        )
        self._observers = self._stack.enter_context(self._observers_of_ports())
        self.submission.register(self._secret.value)

    def follow(self) -> None:
        """Follow the job until there is nothing more of it to wait for. Raises LabError."""
        self._allocations = self._follow(self.submission, self.rendered, self._secret)

    def end(self) -> None:
        """Ask for what it serves, read the observers, stop it, see it leave the tailnet. Raises LabError."""
        if self._observers:
            self._say("asked for what it serves, and for every port, from everywhere")
            scanned = self.pool.submit(self._observers.scan)
            flows = self.lab.router.flows()
            self._serve(self.rendered, self._allocations, self._before, self._observers.control)
            scanned.result()
            self._read_flows(flows)
        if self._search:
            for scan in self._search.end():
                self.write(scan, "scan")
        if self._traffic:
            self._say("observers are read")
            self._read_traffic(self._traffic, self._job_began)
        self._say("stops, and leaves the tailnet")
        self.submission.stop()
        if self._observers:
            self._observers.finish(self.submission, self._allocations, "it served meanwhile")
        self._read_job(self.submission, self._secret)
        self._leave(self._before)
        self._stack.close()
        ended = Counter(a.status for a in self._allocations)
        outcome = ", ".join(f"{number} {status}" for status, number in sorted(ended.items()))
        self.write(EpisodeEnded(self._job_began, time.time(), f"allocations: {outcome}"), "harness")

    def _watch_traffic(self) -> "_Traffic":
        """Open the observers of traffic, and show that they see the node when it goes out directly."""
        node = self.lab.topology.only(Role.NODE).name
        foreign = packets.foreign_to(self.lab.topology)
        opened = self.pool.submit(Capture, self.lab.router.host, node, foreign, self.example.name)
        start = watch.mark(self.lab, self.pool)
        capture = opened.result()
        begin = control_traffic.go_out_directly(
            self.lab, self.stage.ledger, self.example.name, start, self.pool
        )
        return _Traffic(begin, capture)

    def _observers_of_ports(self) -> AbstractContextManager[ports.Observers | None]:
        """Those of a job that serves, which is there to be scanned; to egress a scan would be foreign."""
        serves = self.example.smoke.serve
        return ports.Observers(self.stage, self.example, self.pool) if serves else nullcontext()

    def _follow(self, submission: Submission, rendered: Rendered, secret: Secret) -> list[Allocation]:
        """Follow the job, and look at what can be seen only while it runs."""

        def look(allocation: Allocation) -> None:
            running = self.pool.submit(self.nodes, Moment.RUNNING)
            if not self._search:
                self._search = self._stack.enter_context(
                    secret_scan.WhileRunning(
                        self.lab, submission, allocation, secret, workers=rendered.workers, pool=self.pool
                    )
                )
            running.result()

        serves = bool(self.example.smoke.serve)
        watched = Watched(self.lab.node.nomad, self.lab.node.host)
        return following.follow(watched, submission, rendered, self.pool, look, serves=serves)

    def _serve(
        self,
        rendered: Rendered,
        allocations: list[Allocation],
        before: set[str],
        control: Mapping[int, int],
    ) -> None:
        """Ask for what the job serves, from everywhere; the node's name is known once it has joined."""
        joined = [n for n in self.nodes(Moment.RUNNING) if n.id not in before]
        held = PortsHeld(
            ",".join(a.id for a in allocations),
            tuple(port for a in allocations for port in self.lab.node.nomad.ports(a.id)),
        )
        self.write(held, "nomad")
        running = [a.id for a in allocations if not a.over]
        configured = [self.pool.submit(serve.published, self.lab, a) for a in running]
        registered: tuple[RegisteredService, ...] = ()
        if rendered.in_consul:
            catalogue = consul.look(self.lab.node.consul, [a.id for a in allocations])
            self.write(catalogue, "consul")
            registered = catalogue.registered
        attempts = serve.ask_everyone(
            self.lab,
            self.example.smoke.serve,
            joined,
            held.ports,
            self.pool,
            control=control,
            registered=registered,
        )
        places = [f"{task}-{a.id}" for a in allocations for task in sorted(rendered.sealed)]
        if places:
            attempts += backends.ask_in_place(self.lab.node.host, places)
        for attempt in attempts:
            self.write(attempt, attempt.by)
        for each in configured:
            self.write(each.result(), "tailscaled")
        if host := browsing.with_browser(self.lab):
            for page in browsing.pages(attempts, CLIENT):
                picture = self.stage.ledger.file.with_name(f"{self.example.name}-page-{page.promise}.png")
                seen, content = browsing.look(host, page, picture.name)
                if content:
                    picture.write_bytes(content)
                self.write(seen, "browser")

    def _read_flows(self, begin: FlowBook) -> None:
        """Write down who spoke with whom while the job served, for the picture: no claim rests on it.

        What those outside asked for, and the node's refusals, are the harness's own doing.
        """
        outside = {h.name: h.addresses for h in self.lab.topology.with_role(Role.BYSTANDER)}
        asked = frozenset().union(*outside.values())
        flows, _ = self.lab.router.flows().since(begin)
        for flow in flows:
            if flow.wire not in outside and flow.destination not in asked:
                self.write(flow, "flow book")

    def _read_traffic(self, traffic: "_Traffic", job_began: float) -> None:
        seen, _ = watch.since(self.lab, traffic.begin, self.pool)
        recording.write(self.stage.ledger, seen, subject=self.example.name, episode=AS_IT_STANDS)
        closed, pcap = traffic.capture.close()
        file = self.stage.ledger.file.with_name(closed.file)
        file.write_bytes(pcap)
        for packet in packets.read(pcap):
            self.write(packet, "capture", AS_IT_STANDS if packet.captured_at >= job_began else CONTROL)
        self.write(closed, "capture")
        self.write(closed, "capture", CONTROL)

    def _read_job(self, submission: Submission, secret: Secret) -> None:
        allocations = submission.allocations()
        launched = dict.fromkeys(a.job for a in allocations if submission.forced)
        for job in launched:
            self.write(LaunchSeen(job, job == submission.forced), "nomad")
        recording.write_job(
            self.stage.ledger,
            self.lab.node.nomad,
            allocations,
            secret.needles,
            subject=self.example.name,
            episode=AS_IT_STANDS,
        )
        for scan in secret_scan.afterwards(self.lab, allocations, secret, self._joined(), self.pool):
            self.write(scan, "scan")

    def _joined(self) -> str:
        """The name of a node that joined, which the control server's log cannot but name."""
        lists = [s for _, s in self.stage.ledger.history(self.example.name).of(TailnetSeen)]
        old = {n.id for s in lists if s.moment is Moment.BEFORE for n in s.nodes}
        return next((n.name for s in lists for n in s.nodes if n.id not in old), "")

    def _leave(self, before: set[str]) -> None:
        """Wait for the job's node to be gone. One that stays is for a claim to judge, no fault of the lab."""
        client = self.lab.control.client
        nodes: tuple[TailnetNode, ...] = ()

        def gone() -> bool:
            nonlocal nodes
            nodes = client.nodes()
            return {n.id for n in nodes} <= before

        try:
            wait_until(
                gone,
                seconds=_LEAVE_SECONDS,
                what="the job's node is gone from the tailnet",
            )
        except LabError as still_there:
            self.stage.progress.note(str(still_there))
        self.write(TailnetSeen(Moment.AFTER, nodes), self.lab.topology.program)
        for node in nodes:
            # The next job of the lab may need its name, and its peers would go on speaking to it.
            if node.id not in before:
                client.delete(node.id)
