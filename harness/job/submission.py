"""A job in Nomad, owned from its registration to its purge, and followed by what its servers say."""

import secrets
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self

from harness.errors import LabError
from harness.job.rendering import Rendered
from harness.management.nomad import Allocation, NomadClient, TaskState

_END_SECONDS = 75
"""Beyond what its tasks may take. An evaluation that a server lost is given out again after a minute (nomad,
eval_nack_timeout), as may happen where a leader is elected."""


class Place(Protocol):
    """Where a job is registered, and what is made there for it."""

    namespace: str
    """The Nomad namespace that holds the job and its Variable."""

    def prepare(self, nomad: NomadClient, rendered: Rendered, auth_key: str) -> None:
        """Make what the job needs before it is registered: its auth key, in the Variable that it reads."""

    def leave(self, nomad: NomadClient) -> None:
        """Remove what was made, once the job is purged."""


class OwnNamespace:
    """A namespace for one episode, so that the same job, to the letter, can run several times at once."""

    def __init__(self, purpose: str) -> None:
        """Name it after the episode; nothing is made yet."""
        self.namespace = f"{purpose}-{secrets.token_hex(3)}"

    def prepare(self, nomad: NomadClient, rendered: Rendered, auth_key: str) -> None:
        """Make the namespace, with the Variables in it that the job reads."""
        nomad.create_namespace(self.namespace, "one episode of NoTailCar's harness")
        place = rendered.auth_key
        variables = {place.variable: {}, **rendered.variables}
        variables[place.variable] = {**variables[place.variable], place.item: auth_key}
        for path, items in variables.items():
            nomad.put_variable(path, items, self.namespace)

    def leave(self, nomad: NomadClient) -> None:
        """Leave it as it is: it goes with its cluster, which is the lab's own."""


class Submission:
    """Owns one job in Nomad.

    Attributes:
        namespace: the Nomad namespace that holds the job and its Variable.
        job: the job's id.
        forced: the id of the job that a periodic one launched when it was registered; empty for others.
        auth_key: where in the namespace the job reads its auth key.
    """

    def __init__(self, nomad: NomadClient, rendered: Rendered, place: Place) -> None:
        """Describe it; nothing is registered before `register`.

        Args:
            nomad: where it runs.
            rendered: the job, as it is to be registered.
            place: where, and what is made for it there.
        """
        self._nomad = nomad
        self._rendered = rendered
        self._place = place
        self.namespace = place.namespace
        self.job = rendered.id
        self.forced = ""
        self._prepared = False
        self.auth_key = rendered.auth_key
        self._registered = False

    def register(self, auth_key: str) -> Self:
        """Write the job's Variables, the auth key too, then register it; a periodic one is launched once.

        A periodic job by itself waits for its schedule, which may be days away.
        """
        self._prepared = True
        self._place.prepare(self._nomad, self._rendered, auth_key)
        self._registered = True
        self._nomad.register(self._rendered.job, self.namespace)
        if self._rendered.periodic:
            self.forced = self._nomad.force(self.job, self.namespace)
        return self

    def snapshots(self, seconds: float) -> Iterator[list[Allocation]]:
        """Its allocations now and at each change. Raises LabError when the time is over."""
        last: list[Allocation] = []
        for last in self._nomad.follow(self.namespace, seconds, self.job):
            if not self._registered:
                raise LabError(f"job {self.job}: it was purged while it was followed")
            yield last
        raise LabError(
            f"job {self.job}: waited {seconds:g} s in vain",
            log="\n".join([*_told(last), *self._nomad.placement_failures(self.job, self.namespace)]),
        )

    def wait(self, until: Callable[[Allocation], bool], seconds: float) -> Allocation:
        """The first allocation of which `until` holds, as soon as it does. Raises LabError."""
        return self.wait_for_all(lambda all_of_it: [a for a in all_of_it if until(a)][:1], seconds)[0]

    def wait_for_all(
        self, until: Callable[[list[Allocation]], list[Allocation]], seconds: float
    ) -> list[Allocation]:
        """What `until` picks from the allocations, as soon as it picks any. Raises LabError."""
        for allocations in self.snapshots(seconds):
            if picked := until(allocations):
                return picked
        raise AssertionError("snapshots ends by raising")

    def reaches(self, until: Callable[[list[Allocation]], object], seconds: float) -> bool:
        """Whether its allocations come to what `until` holds of, within some seconds. Raises LabError."""
        return any(until(found) for found in self._nomad.follow(self.namespace, seconds, self.job))

    def allocations(self) -> list[Allocation]:
        """Its allocations as they stand, in the order in which they were placed."""
        return self._nomad.allocations(self.namespace, self.job)

    def stop(self) -> None:
        """Stop the job, what it launched as well, and wait until no allocation runs. Raises LabError."""
        self._stop_all(purge=False)
        for allocations in self.snapshots(_END_SECONDS + self._rendered.end_seconds):
            if all(a.over for a in allocations):
                return

    def close(self) -> None:
        """Purge the job, and what it launched; one that was stopped before goes at once."""
        if self._registered:
            # First, so that who follows it in another thread sees why at the change that this makes.
            self._registered = False
            self._stop_all(purge=True)
        if self._prepared:
            self._prepared = False
            self._place.leave(self._nomad)

    def _stop_all(self, *, purge: bool) -> None:
        # The launching job first: it would launch more.
        self._nomad.stop(self.job, self.namespace, purge=purge)
        launched = self._nomad.jobs(self.namespace, f"{self.job}/") if self._rendered.periodic else ()
        for job in launched:
            if job != self.job:
                self._nomad.stop(job, self.namespace, purge=purge)

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
