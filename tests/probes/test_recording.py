"""What Nomad says, written down: complete, in order, and without secrets."""

from pathlib import Path

import httpx
import pytest

from harness.ledger.facts import AllocationSeen, TaskEnd, TaskEventSeen, TaskLog
from harness.ledger.ledger import Ledger
from harness.management.nomad import Allocation, NomadClient, TaskEvent, TaskState
from harness.probes import recording

KEY, PART = "hskey-auth-abc-SECRETSECRET", "SECRETSECRET"


def state(name: str, *events: TaskEvent) -> TaskState:
    return TaskState(name, "dead", failed=False, restarts=1, events=events)


def allocation(*tasks: TaskState) -> Allocation:
    return Allocation("alloc-1", "mine", "ns", "group", "complete", "All tasks completed", "stop", tasks)


def nomad_with(logs: dict[tuple[str, str], str]) -> NomadClient:
    """A client whose server is a function: only what it answers matters here."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = (request.url.params["task"], request.url.params["type"])
        return (
            httpx.Response(200, text=logs[asked]) if asked in logs else httpx.Response(404, text="not found")
        )

    return NomadClient(httpx.MockTransport(answer))


def test_logs_are_masked() -> None:
    nomad = nomad_with(
        {("guard", "stderr"): f"up --auth-key={KEY}\nagain {PART}\n", ("guard", "stdout"): " \n"}
    )
    (log,) = recording.task_logs(nomad, allocation(state("guard"), state("worker")), (KEY, PART))
    assert log == TaskLog("alloc-1", "guard", "stderr", "up --auth-key=[auth key]\nagain [auth key]\n")


@pytest.mark.parametrize("shift", range(0, 40, 3))
def test_a_key_at_the_edge_of_the_tail_is_masked_too(shift: int) -> None:
    text = "y" * 500 + KEY + "x" * (recording.LOG_TAIL - shift)
    (log,) = recording.task_logs(
        nomad_with({("guard", "stdout"): text}), allocation(state("guard")), (KEY, PART)
    )
    assert len(log.text) <= recording.LOG_TAIL
    assert PART[-8:] not in log.text


def test_an_allocation_is_written_with_its_events_in_the_order_of_time(tmp_path: Path) -> None:
    late, early = TaskEvent("Terminated", "gone", 1, 1003.0), TaskEvent("Started", "", None, 1001.0)
    other = TaskEvent("Received", "", None, 1002.0)
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        recording.write_allocation(
            ledger, allocation(state("a", late, early), state("b", other)), subject="mine", episode="control"
        )
        events = [f for _, f in ledger.history("mine").of(TaskEventSeen)]
        assert [(e.task, e.event, e.event_at) for e in events] == [
            ("a", "Started", 1001.0),
            ("b", "Received", 1002.0),
            ("a", "Terminated", 1003.0),
        ]
        assert events[-1].exit_code == 1
        ((_, seen),) = ledger.history("mine").of(AllocationSeen)
        assert seen.tasks == (
            TaskEnd("a", "dead", failed=False, started=True, restarts=1),
            TaskEnd("b", "dead", failed=False, started=False, restarts=1),
        )
        assert {o.episode for o in ledger} == {"control"}
