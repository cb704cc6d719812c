"""Follows a job, whatever its type, until there is nothing more of it to wait for."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from harness.errors import LabError
from harness.job.rendering import Rendered
from harness.job.submission import Submission
from harness.lab.running_host import RunningHost
from harness.management.nomad import Allocation, NomadClient
from harness.management.waiting import wait_until
from harness.probes import turning_point

_HEALTHY_SECONDS = 60
_BETWEEN_CHECKS = 0.1
_SCHEDULE_SECONDS = 60
_WATCH_SECONDS = 10

Look = Callable[[Allocation], None]


@dataclass(frozen=True)
class Watched:
    """Where a job is followed: by its cluster, and by the engine below it where that can be listened to."""

    nomad: NomadClient
    node: RunningHost | None = None
    start_seconds: float = 60
    work_seconds: float = 120
    """How long a batch job may take to its end, once it has started."""


def follow(
    watched: Watched,
    submission: Submission,
    rendered: Rendered,
    pool: ThreadPoolExecutor,
    look: Look,
    *,
    serves: bool,
    by_schedule: bool = True,
) -> list[Allocation]:
    """Follow a registered job and give its allocations as they stand then.

    A batch job is followed to its end; a service that serves until its checks pass or Nomad gives up on
    them; another service for some seconds of its work; a periodic job until what was forced and one launch
    by its schedule have ended, after which it is stopped, lest it launch more.

    Args:
        watched: where it runs.
        submission: the job, registered.
        rendered: what its tasks are for.
        pool: has two threads to spare.
        look: called with each allocation once, as soon as a worker of it runs, or its guard has refused.
        serves: whether the job is there to be reached.
        by_schedule: whether a launch of a periodic job by its schedule is waited for.

    Raises:
        LabError: an allocation did not come to anything, with Nomad's own words.
    """
    looked: set[str] = set()

    def look_at(count: int) -> None:
        for allocation in turning_point.turns(
            watched.node, submission, rendered, pool, count=count, seconds=watched.start_seconds
        ):
            if allocation.id not in looked:
                looked.add(allocation.id)
                look(allocation)

    count = rendered.count
    look_at(count)
    if rendered.stays and serves:
        _wait_until_it_serves(watched, submission, count)
    elif rendered.stays:
        submission.reaches(_all(count, lambda a: a.over), _WATCH_SECONDS)
    else:
        submission.wait_for_all(_all(count, lambda a: a.over), watched.work_seconds)
    # A schedule that does not fire is for a claim to judge: it may be yearly, or wrong.
    if (
        rendered.periodic
        and by_schedule
        and submission.reaches(lambda found: len(found) >= 2 * count, _SCHEDULE_SECONDS)
    ):
        look_at(2 * count)
        submission.wait_for_all(_all(2 * count, lambda a: a.over), watched.work_seconds)
    if rendered.periodic:
        submission.stop()
    return submission.allocations()


def _wait_until_it_serves(watched: Watched, submission: Submission, count: int) -> None:
    """Wait until each allocation's checks pass, or it is over; that they never do is for a claim to judge."""

    def settled(allocation: Allocation) -> bool:
        known = allocation.over or allocation.healthy is not None
        return known or watched.nomad.checks_pass(allocation.id)

    with suppress(LabError):
        wait_until(
            lambda: bool(_all(count, settled)(submission.allocations())),
            seconds=_HEALTHY_SECONDS,
            what="the job's checks pass",
            pause=_BETWEEN_CHECKS,
        )


def _all(count: int, settled: Callable[[Allocation], bool]) -> Callable[[list[Allocation]], list[Allocation]]:
    """So many allocations at least, and each as `settled` wants it: then all of them, else none."""
    return lambda found: found if len(found) >= count and all(map(settled, found)) else []
