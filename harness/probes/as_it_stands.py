"""The episode that matters most: the job as a user runs it, alone on its node, with every observer open."""

import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from harness.errors import LabError
from harness.job.example import Example
from harness.job.rendering import Rendered
from harness.job.submission import Submission
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
from harness.probes.secret_scan import Secret
from harness.probes.stage import Stage

_LEAVE_SECONDS = 15
_BETWEEN_LISTS = 0.2  # seconds; headscale computes for 0.1 s, most of it to check who asks (bcrypt)


def run(stage: Stage, example: Example) -> Rendered:
    """Run an example to its end and fill the ledger: first the controls, then the job.

    Gives the rendered job, for further episodes. Raises LabError when the lab or an observer fails,
    UsageError when the job cannot be read.
    """
    with ThreadPoolExecutor(8, thread_name_prefix="episode") as pool:
        return _Episode(stage, example, pool).run()


@dataclass(frozen=True)
class _Traffic:
    """The observers of what a job sends out: from where they are read, and the capture that runs."""

    begin: watch.Mark
    capture: Capture


class _Episode:
    """One execution: the steps share the stage, the example and the pool for what is done side by side."""

    def __init__(self, stage: Stage, example: Example, pool: ThreadPoolExecutor) -> None:
        self.stage = stage
        self.lab = stage.lab
        self.example = example
        self.pool = pool

    def write(self, fact: Fact, observer: str, episode: str = AS_IT_STANDS) -> None:
        self.stage.ledger.write(fact, observer=observer, subject=self.example.name, episode=episode)

    def nodes(self, moment: Moment) -> tuple[TailnetNode, ...]:
        nodes = self.lab.control.client.nodes()
        self.write(TailnetSeen(moment, nodes), self.lab.topology.program)
        return nodes

    def run(self) -> Rendered:
        with self.stage.progress.stage(self.example.name, "runs as it stands") as shown:
            shown.update("controls")
            began = time.time()
            rendering = self.pool.submit(self.stage.render, self.example)
            before = self.pool.submit(self.nodes, Moment.BEFORE)
            key = self.pool.submit(
                self.lab.control.client.create_key,
                tags=self.example.smoke.tags,
                ephemeral=True,
                reusable=True,
            )
            traffic = None if self.example.smoke.serve else self._watch_traffic()
            if traffic:
                self.write(
                    EpisodeEnded(began, time.time(), "the control traffic was sent"), "harness", CONTROL
                )
            rendered = rendering.result()
            secret = Secret(key.result())
            job_began = time.time()
            shown.update("the job runs")
            with (
                Submission(self.lab.node.nomad, rendered, AS_IT_STANDS) as submission,
                self._observers_of_ports() as observers,
            ):
                submission.register(secret.value)
                allocations = self._follow(submission, rendered, secret)
                if observers:
                    shown.update("asked for what it serves, and for every port, from everywhere")
                    scanned = self.pool.submit(observers.scan)
                    flows = self.lab.router.flows()
                    self._serve(rendered, allocations, {n.id for n in before.result()}, observers.control)
                    scanned.result()
                    self._read_flows(flows)
                if traffic:
                    shown.update("observers are read")
                    self._read_traffic(traffic, job_began)
                shown.update("stops, and leaves the tailnet")
                submission.stop()
                if observers:
                    observers.finish(submission, allocations, "it served meanwhile")
                self._read_job(submission, secret)
                self._leave({n.id for n in before.result()})
            ended = Counter(a.status for a in allocations)
            outcome = ", ".join(f"{number} {status}" for status, number in sorted(ended.items()))
            self.write(EpisodeEnded(job_began, time.time(), f"allocations: {outcome}"), "harness")
        return rendered

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
        looked: list[str] = []

        def look(allocation: Allocation) -> None:
            running = self.pool.submit(self.nodes, Moment.RUNNING)
            if not looked:
                for scan in secret_scan.while_running(
                    self.lab, submission, allocation, secret, workers=rendered.workers, pool=self.pool
                ):
                    self.write(scan, "scan")
            looked.append(allocation.id)
            running.result()

        serves = bool(self.example.smoke.serve)
        return following.follow(self.stage, submission, rendered, self.pool, look, serves=serves)

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
                pause=_BETWEEN_LISTS,
            )
        except LabError as still_there:
            self.stage.progress.note(str(still_there))
        self.write(TailnetSeen(Moment.AFTER, nodes), self.lab.topology.program)
        for node in nodes:
            # The next job of the lab may need its name, and its peers would go on speaking to it.
            if node.id not in before:
                client.delete(node.id)
