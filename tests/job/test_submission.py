"""What brings an episode to its end, told from an allocation."""

import pytest

from harness.job.submission import refused, started
from harness.management.nomad import Allocation, TaskEvent, TaskState

GUARD, WORKER = frozenset({"guard"}), frozenset({"worker", "second"})


def event(kind: str, exit_code: int | None = None) -> TaskEvent:
    return TaskEvent(kind, "", exit_code, 1000.0)


def allocation(**tasks: tuple[TaskEvent, ...]) -> Allocation:
    states = tuple(TaskState(n, "dead", failed=False, restarts=0, events=e) for n, e in tasks.items())
    return Allocation("id", "job", "ns", "group", "running", "", "run", states)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((), False),
        ((event("Received"), event("Task Setup")), False),
        ((event("Received"), event("Started")), True),
        ((event("Started"), event("Terminated", 0)), True),
        ((event("Not Restarting"),), False),
    ],
)
def test_started(events: tuple[TaskEvent, ...], expected: bool) -> None:
    assert started(WORKER)(allocation(guard=(event("Started"),), worker=events)) is expected


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((), False),
        ((event("Started"),), False),
        ((event("Terminated", 0),), False),
        ((event("Terminated"),), False),
        ((event("Terminated", 3),), True),
        ((event("Terminated", -1),), True),
        ((event("Terminated", 1), event("Restarting"), event("Terminated", 0)), True),
        ((event("Driver Failure", 1),), False),
    ],
)
def test_refused(events: tuple[TaskEvent, ...], expected: bool) -> None:
    assert refused(GUARD)(allocation(guard=events, worker=(event("Terminated", 9),))) is expected


def test_of_several_tasks_any_will_do() -> None:
    assert started(WORKER)(allocation(worker=(), second=(event("Started"),)))
    assert not started(WORKER)(allocation())
    assert not started(frozenset())(allocation(worker=(event("Started"),)))


@pytest.mark.parametrize(
    ("status", "over"),
    [
        *((status, False) for status in ("pending", "running", "unknown")),
        *((status, True) for status in ("complete", "failed", "lost")),
    ],
)
def test_over(status: str, over: bool) -> None:
    assert Allocation("id", "job", "ns", "group", status, "", "stop", ()).over is over
