"""The episode of open ports: while the job runs as it stands, its node is looked into and scanned.

For a job that serves it is a part of the time in which it serves. A job that works for a moment is executed
once more, as a rule while it leaves by its fallback: the scan takes two seconds, and a short worker may be
done by then. So its main tasks are held: each container is paused as soon as it has a connection, when it has
opened what it opens and is at its work. A paused container's sockets stay as they are and are answered by the
kernel; the sidecar beside it runs on, as its main task has not ended. Then they go on, and the node's sockets
are watched to the job's end.
"""

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as first_of
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from harness.job.example import Example
from harness.job.rendering import Rendered, main_tasks
from harness.job.submission import Submission, started
from harness.lab import listening
from harness.lab.running_host import FILES, RunningHost
from harness.lab.scan import scan
from harness.lab.topology import Host, Membership, Role
from harness.ledger.episodes import PORTS
from harness.ledger.facts import EpisodeEnded, Fact, Moment
from harness.management.exec_stream import ExecStream
from harness.management.nomad import Allocation
from harness.probes import escape, listeners, recording
from harness.probes.secret_scan import Secret
from harness.probes.stage import Stage

_START_SECONDS = 60
_WORK_SECONDS = 10
"""So long the sockets of a batch job are watched after the scan; then it is stopped."""


class Observers:
    """Owns the observers of open ports around one execution of a job: entered before it is registered.

    Attributes:
        control: once entered, the TCP ports of the harness's own listeners on the node, by version of IP.
    """

    def __init__(self, stage: Stage, example: Example, pool: ThreadPoolExecutor) -> None:
        """Describe them; the pool has a thread to spare for as long as the job runs."""
        self._stage = stage
        self._example = example
        self._node = stage.lab.node.host
        self._pool = pool
        self._stack = ExitStack()
        self._seen = ""

    def __enter__(self) -> Self:
        """Look before the job; from here on the harness's own listeners are there to be found."""
        self._began = time.time()
        self._write("sockets", *_facts(listeners.look(self._node), Moment.BEFORE))
        with ExitStack() as stack:
            self.control = stack.enter_context(listeners.opened(self._node))
            self._watch = stack.enter_context(listeners.watched(self._node, self._pool))
            self._stack = stack.pop_all()
        return self

    def scan(self) -> None:
        """Look inside, ask for every port from outside, look inside again: while the job runs."""
        lab = self._stage.lab
        described = lab.topology.only(Role.NODE)
        scanner = lab.host(self.scanner.name)
        running = listeners.look(self._node)
        self._write("sockets", *_facts(running, Moment.RUNNING))
        self._write("scan", *scan(scanner, [str(described.v4[0]), str(described.v6[0])]))
        scanned = listeners.look(self._node)
        self._write("sockets", *_facts(scanned, Moment.AFTER))
        self._seen = running + scanned

    def scan_held(self, submission: Submission, rendered: Rendered) -> "_Held":
        """Scan while the main tasks of a job that has just been registered are held; gives how it was."""
        # A periodic job may launch more by its schedule meanwhile: those are not waited for.
        allocations = submission.wait_for_all(
            lambda placed: placed[: rendered.count] if len(placed) >= rendered.count else [],
            _START_SECONDS,
        )
        with _Held(self._node, submission, rendered, allocations, self._pool) as held:
            self.scan()
            egress = self._example.smoke.egress
            if egress and egress.confined:
                escape.run(self._stage, self._example, rendered, allocations, self._pool)
        return held

    @property
    def scanner(self) -> Host:
        """The host that asks for every port: its first bystander."""
        return self._stage.lab.topology.with_role(Role.BYSTANDER)[0]

    def finish(self, submission: Submission, looked_at: Sequence[Allocation], outcome: str) -> None:
        """Write down what the watch saw, and the job's allocations as they stand; the episode is over."""
        looks, _ = listening.read(self._watch.end(), Moment.RUNNING, self._seen)
        self._write("sockets", *looks)
        ids = {a.id for a in looked_at}
        for allocation in (a for a in submission.allocations() if a.id in ids):
            recording.write_allocation(
                self._stage.ledger, allocation, subject=self._example.name, episode=PORTS
            )
        self._write("harness", EpisodeEnded(self._began, time.time(), outcome))

    def _write(self, observer: str, *facts: Fact) -> None:
        self._stage.ledger.write_all(facts, observer=observer, subject=self._example.name, episode=PORTS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def run(stage: Stage, example: Example, rendered: Rendered) -> None:
    """Run the episode and fill the ledger; with a confined example, the attempts to escape as well.

    Raises LabError when the lab or an observer fails.
    """
    lab = stage.lab
    with (
        ThreadPoolExecutor(8, thread_name_prefix="ports") as pool,
        stage.progress.stage(example.name, "its node, looked into and scanned") as shown,
    ):
        secret = Secret(lab.control.member_key(Membership(tags=example.smoke.tags)))
        with (
            Submission(lab.node.nomad, rendered, PORTS) as submission,
            Observers(stage, example, pool) as observers,
        ):
            submission.register(secret.value)
            held = observers.scan_held(submission, rendered)
            shown.update("the job ends")
            if not (rendered.stays or rendered.periodic):
                # One that takes long has been seen for long enough.
                submission.reaches(_all_over, _WORK_SECONDS)
            submission.stop()
            observers.finish(submission, held.allocations, held.outcome)


def _facts(text: str, moment: Moment) -> tuple[Fact, ...]:
    looks, containers = listening.read(text, moment)
    return (*looks, containers)


def _all_over(allocations: list[Allocation]) -> bool:
    return all(a.over for a in allocations)


class _Held:
    """Waits until every allocation runs; holds the main tasks of a batch job for the time of the block.

    Attributes:
        allocations: those that are waited for.
        outcome: how many of their tasks were held, in words.
    """

    def __init__(
        self,
        node: RunningHost,
        submission: Submission,
        rendered: Rendered,
        allocations: list[Allocation],
        pool: ThreadPoolExecutor,
    ) -> None:
        self._node = node
        self._submission = submission
        self._rendered = rendered
        self._pool = pool
        self.allocations = allocations
        self._ids = {a.id for a in allocations}
        tasks = main_tasks(rendered)
        self._containers = [f"{task}-{a.id}" for a in allocations for task in tasks.get(a.group, ())]
        self._held: list[str] = []
        self.outcome = ""

    def __enter__(self) -> Self:
        told = self._pool.submit(self._wait_for_tasks)
        if self._rendered.stays:
            told.result()
            self.outcome = "every task runs"
            return self
        stream = self._node.open(f"{FILES}/hold.sh", str(_START_SECONDS), *self._containers)
        heard = self._pool.submit(self._listen, stream)
        either: tuple[Future[Any], ...] = (told, heard)
        try:
            # Nomad tells of a start up to a second late, and only it of a job whose main tasks never start.
            first_of(either, return_when=FIRST_COMPLETED)
            if not heard.done() and not all(a.over for a in told.result()):
                heard.result()
        finally:
            stream.close()
        self.outcome = f"{len(self._held)} of {len(self._containers)} main tasks were held meanwhile"
        return self

    def _wait_for_tasks(self) -> list[Allocation]:
        """Wait until Nomad says of each allocation that a worker of it runs, or that it is over."""
        runs = started(self._rendered.workers)

        def pick(found: list[Allocation]) -> list[Allocation]:
            ours = [a for a in found if a.id in self._ids]
            return ours if all(a.over or runs(a) for a in ours) else []

        return self._submission.wait_for_all(pick, _START_SECONDS)

    def _listen(self, stream: ExecStream) -> None:
        """Read from hold.sh who is held, until it has said so of every container."""
        said = b""
        while said.count(b"\n") < len(self._containers) and (piece := stream.read(4096)):
            said += piece
        words = [line.split() for line in said.decode().splitlines()]
        self._held = [name for word, name in words if word == "held"]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held:
            self._node.run("docker", "unpause", *self._held).expect()
