"""A job in Nomad, owned from its registration to its purge, and followed by what its servers say."""

import secrets
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from harness.errors import LabError
from harness.job.rendering import Rendered
from harness.management.nomad import Allocation, NomadClient, TaskState

SECRETS_PATH = "nomad/jobs/notailcar/example/secrets"
"""Where the examples read their auth key (item TS_AUTHKEY)."""
_END_SECONDS = 30


class Submission:
    """Owns one job in a namespace of its own, so that the same job can run several times side by side.

    Attributes:
        namespace: the Nomad namespace that holds the job and its Variable.
        job: the job's id.
    """

    def __init__(self, nomad: NomadClient, rendered: Rendered, purpose: str) -> None:
        """Describe it; nothing is registered before `register`.

        Args:
            nomad: where it runs.
            rendered: the job, as it stands.
            purpose: the episode, which names the namespace.
        """
        self._nomad = nomad
        self._rendered = rendered
        self.namespace = f"{purpose}-{secrets.token_hex(3)}"
        self.job = rendered.id
        self._registered = False

    def register(self, auth_key: str) -> Self:
        """Write the auth key into the job's Variable, then register the job."""
        self._nomad.create_namespace(self.namespace, "one episode of NoTailCar's harness")
        self._nomad.put_variable(SECRETS_PATH, {"TS_AUTHKEY": auth_key}, self.namespace)
        self._registered = True
        self._nomad.register(self._rendered.job, self.namespace)
        return self

    def snapshots(self, seconds: float) -> Iterator[list[Allocation]]:
        """Its allocations now and at each change. Raises LabError when the time is over."""
        last: list[Allocation] = []
        for last in self._nomad.follow(self.job, self.namespace, seconds):
            if not self._registered:
                raise LabError(f"job {self.job}: it was purged while it was followed")
            yield last
        raise LabError(
            f"job {self.job}: waited {seconds:g} s in vain",
            log="\n".join([*_told(last), *self._nomad.placement_failures(self.job, self.namespace)]),
        )

    def wait(self, until: Callable[[Allocation], bool], seconds: float) -> Allocation:
        """The first allocation of which `until` holds, as soon as it does. Raises LabError."""
        for allocations in self.snapshots(seconds):
            for allocation in allocations:
                if until(allocation):
                    return allocation
        raise AssertionError("snapshots ends by raising")

    def allocations(self) -> list[Allocation]:
        """Its allocations as they stand."""
        return self._nomad.allocations(self.job, self.namespace)

    def stop(self) -> None:
        """Stop the job and wait until none of its allocations runs. Raises LabError."""
        self._nomad.stop(self.job, self.namespace, purge=False)
        for allocations in self.snapshots(_END_SECONDS):
            if all(a.over for a in allocations):
                return

    def close(self) -> None:
        """Purge the job; one that was stopped before goes at once."""
        if self._registered:
            # First, so that who follows it in another thread sees why at the change that this makes.
            self._registered = False
            self._nomad.stop(self.job, self.namespace, purge=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def started(tasks: frozenset[str]) -> Callable[[Allocation], bool]:
    """Whether any of these tasks has started, in an allocation."""
    return lambda allocation: any(t.started for t in _these(allocation, tasks))


def refused(tasks: frozenset[str]) -> Callable[[Allocation], bool]:
    """Whether any of these tasks has ended with another exit code than 0, in an allocation."""
    return lambda allocation: any(
        e.type == "Terminated" and e.exit_code for t in _these(allocation, tasks) for e in t.events
    )


def _these(allocation: Allocation, names: frozenset[str]) -> list[TaskState]:
    return [t for t in allocation.tasks if t.name in names]


def _told(allocations: list[Allocation]) -> list[str]:
    """What Nomad says of allocations, for an error."""
    lines = []
    for allocation in allocations:
        lines.append(f"allocation {allocation.id[:8]}: {allocation.status} {allocation.description}")
        for task in allocation.tasks:
            event = task.events[-1] if task.events else None
            lines.append(
                f"  task {task.name}: {task.state}; {event.type + ': ' + event.message if event else ''}"
            )
    return lines
