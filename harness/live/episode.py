"""The job as it stands, on somebody's cluster: followed by Nomad's word, seen by whoever looks there."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from harness.errors import LabError
from harness.job.rendering import Rendered
from harness.job.submission import Submission
from harness.ledger.episodes import AS_IT_STANDS, CONTROL
from harness.ledger.facts import EpisodeEnded, LaunchSeen, Moment, TailnetNode, TailnetSeen
from harness.live import requests, scanning, serving
from harness.live.attendance import Attendance
from harness.live.companion import Witness
from harness.live.scene import Scene
from harness.live.settings import Belonging
from harness.live.stage import Joining
from harness.management.nomad import Allocation
from harness.management.waiting import wait_until
from harness.probes import following, recording
from harness.probes.following import Watched
from harness.probes.secret_scan import Secret

_LEAVE_SECONDS = 20
_BETWEEN_LISTS = 0.5


@dataclass
class Ran:
    """What an execution showed that is no observation: the job as it was registered, and where it ran."""

    rendered: Rendered
    node: set[str] = field(default_factory=set)
    """The addresses of the clients that it ran on."""


class Episode(Scene):
    """One execution of one example, as it stands. Fills the ledger; judges nothing."""

    def run(self) -> Ran:
        """Run the job to its end, or until it serves. Raises LabError, UsageError."""
        stage = self.stage
        with stage.progress.stage(self.example.name, "runs as it stands") as shown:
            before = self._nodes(Moment.BEFORE, set())
            known = {n.id for n in before}
            variables = stage.variables(self.example, self.name)
            joins = Joining(Belonging(tags=tuple(self.example.smoke.tags)), self.name)
            job = stage.submission(self.example, variables, "run", joins=joins)
            rendered, submission, secret = job.rendered, job.submission, Secret(job.key.value)
            found = Ran(rendered)
            mark = stage.observer.mark() if stage.observer else 0
            began = time.time()
            shown.update("the job runs")
            with submission:
                job.register()
                witnesses: dict[str, Future[Witness]] = {}
                with self._attendance(known):
                    allocations = self._follow(submission, rendered, secret, witnesses)
                here = [w.result() for w in witnesses.values()]
                found.node = self._addresses(allocations)
                if stage.observer and self.example.smoke.egress:
                    shown.update("its clients go out directly")
                    found.node |= self._go_out(here, mark)
                if self.example.smoke.serve:
                    shown.update("asked for what it serves, from everywhere")
                    joined = [n for n in self._nodes(Moment.RUNNING, known) if n.id not in known]
                    serving.look(
                        self, allocations, rendered=rendered, joined=joined, node=found.node, here=here
                    )
                if stage.observer and self.example.smoke.egress:
                    lines = stage.observer.since(mark)
                    for request in requests.of_job(lines, [a.id for a in allocations], found.node):
                        self.write(request, "observer")
                shown.update("stops, and leaves the tailnet")
                submission.stop()
                self._read_job(submission, secret)
                self._leave(known)
            ended = Counter(a.status for a in allocations)
            outcome = ", ".join(f"{number} {status}" for status, number in sorted(ended.items()))
            self.write(EpisodeEnded(began, time.time(), f"allocations: {outcome}"), "harness")
        return found

    def _nodes(self, moment: Moment, known: set[str]) -> tuple[TailnetNode, ...]:
        """Write down who is in the tailnet: who was there before, and who joined by this job."""
        if not self.stage.tailnet.listed:
            return ()
        every = self.stage.tailnet.nodes()
        if moment is not Moment.BEFORE:
            every = tuple(n for n in every if n.id in known or n.name.startswith(self.name))
        self.write(TailnetSeen(moment, every), self.stage.tailnet.called)
        return every

    def _attendance(self, known: set[str]) -> AbstractContextManager[object]:
        if not self.stage.tailnet.listed:
            return nullcontext()
        return Attendance(
            lambda: frozenset(n.id for n in self.stage.joined(self.name)),
            lambda: self._nodes(Moment.RUNNING, known),
            self.pool,
        )

    def _follow(
        self,
        submission: Submission,
        rendered: Rendered,
        secret: Secret,
        witnesses: dict[str, Future[Witness]],
    ) -> list[Allocation]:
        def look(allocation: Allocation) -> None:
            if allocation.node not in witnesses:
                witnesses[allocation.node] = self.pool.submit(self.companions.witness, allocation.node)
            for scan in scanning.while_running(self.stage, submission, allocation, secret, rendered):
                self.write(scan, "scan")

        settings = self.stage.settings
        watched = Watched(self.stage.nomad, start_seconds=settings.seconds, work_seconds=settings.seconds)
        serves = bool(self.example.smoke.serve)
        return following.follow(watched, submission, rendered, self.pool, look, serves=serves)

    def _addresses(self, allocations: list[Allocation]) -> set[str]:
        """The addresses of the clients that it ran on, as the cluster knows them."""
        nodes = {a.node for a in allocations if a.node}
        return {a for node in nodes for a in serving.addresses_of(self.stage.nomad.node(node))}

    def _go_out(self, here: list[Witness], mark: int) -> set[str]:
        """Let the clients go out directly, and write down what the observer saw of it: by which addresses."""
        observer, settings = self.stage.observer, self.stage.settings
        if observer is None:
            return set()
        began = time.time()
        urls = [url for url in (settings.check_url, settings.check_url_v6) if url]
        seen: set[str] = set()
        for number, witness in enumerate(here):
            token = f"{requests.WITNESS}{self.stage.run.id}-{self.example.name}-{number}"
            witness.go_out(token, urls)
            for request in requests.of_witness(observer.since(mark), token):
                seen.add(request.peer)
                self.write(request, "observer", CONTROL)
        self.write(EpisodeEnded(began, time.time(), "the clients went out directly"), "harness", CONTROL)
        return seen

    def _read_job(self, submission: Submission, secret: Secret) -> None:
        allocations = submission.allocations()
        for job in dict.fromkeys(a.job for a in allocations if submission.forced):
            self.write(LaunchSeen(job, job == submission.forced), "nomad")
        recording.write_job(
            self.stage.ledger,
            self.stage.nomad,
            allocations,
            secret.needles,
            subject=self.example.name,
            episode=AS_IT_STANDS,
        )
        for scan in scanning.afterwards(self.stage, allocations, secret):
            self.write(scan, "scan")

    def _leave(self, known: set[str]) -> None:
        """Wait for the job's nodes to be gone. One that stays is for a claim to judge, no lab's fault."""
        if not self.stage.tailnet.listed:
            return
        left: Callable[[], bool] = lambda: not self.stage.joined(self.name)  # noqa: E731 - a look, and its words
        try:
            wait_until(
                left,
                seconds=_LEAVE_SECONDS,
                what="the job's nodes are gone from the tailnet",
                pause=_BETWEEN_LISTS,
            )
        except LabError as still_there:
            self.stage.progress.note(str(still_there))
        for node in self._nodes(Moment.AFTER, known):
            if node.id not in known:
                self.stage.tailnet.delete(node.id)
