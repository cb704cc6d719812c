"""Holds the main tasks of a batch job, which would be done before they could be looked at.

A paused container's sockets stay as they are and are answered by the kernel; the sidecar beside it runs on,
as its main task has not ended.
"""

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as first_of
from types import TracebackType
from typing import Any, Self

from harness.job.rendering import Rendered, main_tasks
from harness.job.submission import Submission, started
from harness.lab.running_host import FILES, RunningHost
from harness.management.exec_stream import ExecStream
from harness.management.nomad import Allocation

_START_SECONDS = 60


def placed(submission: Submission, rendered: Rendered) -> list[Allocation]:
    """Wait for the allocations of a job that has just been registered. Raises LabError.

    A periodic job may launch more by its schedule meanwhile: those are not waited for.
    """
    return submission.wait_for_all(
        lambda found: found[: rendered.count] if len(found) >= rendered.count else [], _START_SECONDS
    )


class Held:
    """Waits until every allocation runs; holds the main tasks of a batch job for the time of the block.

    Attributes:
        allocations: those that are waited for.
        containers: the names of the containers of their main tasks.
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
        self.containers = [f"{task}-{a.id}" for a in allocations for task in tasks.get(a.group, ())]
        self._held: list[str] = []
        self.outcome = ""

    def __enter__(self) -> Self:
        told = self._pool.submit(self._wait_for_tasks)
        if self._rendered.stays:
            told.result()
            self.outcome = "every task runs"
            return self
        stream = self._node.open(f"{FILES}/hold.py", str(_START_SECONDS), *self.containers)
        heard = self._pool.submit(self._listen, stream)
        either: tuple[Future[Any], ...] = (told, heard)
        try:
            # Nomad tells of a start up to a second late, and only it of a job whose main tasks never start.
            first_of(either, return_when=FIRST_COMPLETED)
            if not heard.done() and not all(a.over for a in told.result()):
                heard.result()
        finally:
            stream.close()
        self.outcome = f"{len(self._held)} of {len(self.containers)} main tasks were held meanwhile"
        return self

    def _wait_for_tasks(self) -> list[Allocation]:
        """Wait until Nomad says of each allocation that a worker of it runs, or that it is over."""
        runs = started(self._rendered.workers)

        def pick(found: list[Allocation]) -> list[Allocation]:
            ours = [a for a in found if a.id in self._ids]
            return ours if all(a.over or runs(a) for a in ours) else []

        return self._submission.wait_for_all(pick, _START_SECONDS)

    def _listen(self, stream: ExecStream) -> None:
        """Read from hold.py who is held, until it has said so of every container."""
        said = b""
        while said.count(b"\n") < len(self.containers) and (piece := stream.read(4096)):
            said += piece
        words = [line.split() for line in said.decode().splitlines()]
        self._held = [name for word, name in words if word == "held"]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held:
            # One that was ended meanwhile cannot go on.
            paused = self._node.run("docker", "ps", "--filter", "status=paused", "--format", "{{.Names}}")
            left = sorted({*paused.expect().stdout.split()} & {*self._held})
            if left:
                self._node.run("docker", "unpause", *left).expect()
