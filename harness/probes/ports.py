"""The episode of open ports: while the job runs as it stands, its node is looked into and scanned.

For a job that serves it is a part of the time in which it serves. A job that works for a moment is executed
once more, as a rule while it leaves by its fallback: the scan takes two seconds, and a short worker may be
done by then. So its main tasks are held: each container is paused as soon as it has a connection, when it has
opened what it opens and is at its work. A paused container's sockets stay as they are and are answered by the
kernel; the sidecar beside it runs on, as its main task has not ended. Then they go on, and the node's sockets
are watched to the job's end.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from harness.job.example import Example
from harness.job.rendering import Rendered
from harness.job.submission import OwnNamespace, Submission
from harness.lab import listening
from harness.lab.scan import scan
from harness.lab.topology import Host, Membership, Role
from harness.ledger.episodes import PORTS
from harness.ledger.facts import EpisodeEnded, Fact, Moment
from harness.management.nomad import Allocation
from harness.probes import escape, listeners, recording
from harness.probes.held import Held, placed
from harness.probes.secret_scan import Secret
from harness.probes.stage import Stage

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

    def scan_held(
        self, submission: Submission, rendered: Rendered, escape: Callable[[list[Allocation]], None]
    ) -> Held:
        """Scan while the main tasks of a job that has just been registered are held; gives how it was.

        From one that promises to be confined it is then tried to escape, as the caller does that.
        """
        allocations = placed(submission, rendered)
        with Held(self._node, submission, rendered, allocations, self._pool) as held:
            self.scan()
            egress = self._example.smoke.egress
            if egress and egress.confined:
                escape(allocations)
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
        if example.smoke.egress and example.smoke.egress.confined:
            escape.control(stage, example, pool)
        with (
            Submission(lab.node.nomad, rendered, OwnNamespace(PORTS)) as submission,
            Observers(stage, example, pool) as observers,
        ):
            submission.register(secret.value)
            held = observers.scan_held(
                submission, rendered, lambda placed: escape.run(stage, example, rendered, placed, pool)
            )
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
