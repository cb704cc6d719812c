"""Nomad's answers, as a real one gave them, read into what the harness knows."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from harness.errors import LabError
from harness.management.nomad import NomadClient
from tests.management.recorded import recorded

SECRET = "hskey-auth-abcdef-SECRETSECRETSECRET"  # noqa: S105 - a key of nobody


class Asked:
    """A server that is a function: keeps what it was asked, answers as it is told."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.requests: list[httpx.Request] = []
        self._answer = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer(request)

    def client(self, token: str = "") -> NomadClient:
        return NomadClient(httpx.MockTransport(self), token)


def answers(data: Any, status: int = 200, index: int = 7) -> Asked:  # noqa: ANN401 - JSON of any shape
    return Asked(lambda _: httpx.Response(status, json=data, headers={"X-Nomad-Index": str(index)}))


def says(text: str, status: int = 200) -> Asked:
    return Asked(lambda _: httpx.Response(status, text=text))


def breaks() -> Asked:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    return Asked(refuse)


def test_an_allocation() -> None:
    asked = answers(recorded("nomad-allocations"))
    (allocation,) = asked.client().allocations("try")
    assert dict(asked.requests[0].url.params) == {"namespace": "try"}
    assert allocation.job == "tiny"
    assert (allocation.namespace, allocation.group) == ("try", "g")
    assert (allocation.status, allocation.description) == ("failed", "Failed tasks")
    assert allocation.over
    (task,) = allocation.tasks
    assert (task.name, task.state, task.failed, task.restarts) == ("say", "dead", True, 0)
    assert task.started
    assert [(e.type, e.exit_code) for e in task.events] == [
        ("Received", None),
        ("Task Setup", None),
        ("Started", None),
        ("Terminated", 3),
        ("Not Restarting", None),
    ]
    assert "exited with non-zero exit code: 3" in task.events[3].message
    assert 1_600_000_000 < task.events[0].at < 5_000_000_000
    assert allocation.task("say") is task
    assert allocation.task("other") is None


def test_an_allocation_of_which_nothing_is_known_yet() -> None:
    (data,) = recorded("nomad-allocations")
    fresh = {**data, "ClientStatus": "pending", "TaskStates": None, "ClientDescription": None}
    (allocation,) = answers([fresh]).client().allocations("try")
    assert allocation.tasks == ()
    assert not allocation.over


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("big", ["group g: memory"]),
        ("far", ["group g: no node is eligible"]),
        ("con", ["group g: ${attr.kernel.name} = plan9"]),
    ],
)
def test_why_nothing_was_placed(name: str, reasons: list[str]) -> None:
    found = answers(recorded(f"nomad-evaluations-{name}")).client().placement_failures(name, "try")
    assert found == reasons


def test_a_job_that_was_placed_has_no_reasons() -> None:
    assert answers([{"FailedTGAllocs": None}, {}]).client().placement_failures("x", "try") == []


def test_the_node_is_ready_when_its_docker_driver_is() -> None:
    nodes = recorded("nomad-nodes")
    assert answers(nodes).client().wait_for_docker(5) == nodes[0]["ID"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda n: n.update(Status="initializing"),
        lambda n: n["Drivers"]["docker"].update(Healthy=False),
        lambda n: n["Drivers"].pop("docker"),
        lambda n: n.update(Drivers=None),
    ],
    ids=["initializing", "unhealthy", "no docker", "no drivers"],
)
def test_a_node_that_is_not_ready_is_waited_for_and_shown(spoil: Callable[[Any], None]) -> None:
    nodes = recorded("nomad-nodes")
    spoil(nodes[0])
    with pytest.raises(LabError, match=r"no healthy Docker driver after 0\.05 s; last seen: "):
        answers(nodes).client().wait_for_docker(0.05)


def test_version() -> None:
    assert answers(recorded("nomad-agent-self")).client().version() == "1.11.3"


def test_a_variable_is_read_and_written() -> None:
    asked = answers(recorded("nomad-variable"))
    assert asked.client().read_variable("nomad/jobs/tiny/x", "try") == {"A": "b"}
    asked.client().put_variable("nomad/jobs/tiny/x", {"A": "b"}, "try")
    assert asked.requests[-1].url.path == "/v1/var/nomad/jobs/tiny/x"
    assert json.loads(asked.requests[-1].content) == {
        "Namespace": "try",
        "Path": "nomad/jobs/tiny/x",
        "Items": {"A": "b"},
    }


@pytest.mark.parametrize("asked", [says("variable refused", 403), breaks()])
def test_no_error_repeats_a_secret(asked: Asked) -> None:
    with pytest.raises(LabError) as caught:
        asked.client(token=SECRET).put_variable("a/b", {"TS_AUTHKEY": SECRET}, "try")
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.__cause__)


def test_a_token_goes_into_a_header_and_nowhere_else() -> None:
    asked = answers([])
    asked.client(token=SECRET).allocations("try")
    assert asked.requests[0].headers["X-Nomad-Token"] == SECRET
    assert SECRET not in str(asked.requests[0].url)
    plain = answers([])
    plain.client().allocations("try")
    assert "X-Nomad-Token" not in plain.requests[0].headers


def test_register_puts_the_job_into_its_namespace() -> None:
    asked = answers({"EvalID": "e-1", "Warnings": "mind"})
    registered = asked.client().register({"ID": "x", "Namespace": "default"}, "try")
    assert (registered.evaluation, registered.warnings) == ("e-1", "mind")
    assert json.loads(asked.requests[0].content)["Job"] == {"ID": "x", "Namespace": "try"}
    assert answers({}).client().register({"ID": "x"}, "try").evaluation == ""


@pytest.mark.parametrize("purge", [True, False])
def test_stop(purge: bool) -> None:
    asked = answers({})
    asked.client().stop("x", "try", purge=purge)
    assert asked.requests[0].method == "DELETE"
    assert dict(asked.requests[0].url.params) == {"namespace": "try", "purge": str(purge).lower()}


def test_an_error_is_in_nomads_own_words() -> None:
    with pytest.raises(LabError, match=r"Nomad refused GET /v1/job/none \(404\)") as caught:
        says("job not found", 404).client().job("none", "try")
    assert caught.value.log == "job not found"
    with pytest.raises(LabError, match="Nomad does not answer GET"):
        breaks().client().job("none", "try")


def test_reachable_needs_a_leader() -> None:
    assert answers("127.0.0.1:4647").client().reachable()
    assert not answers("").client().reachable()
    assert not says("no leader", 500).client().reachable()
    assert not breaks().client().reachable()


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (404, 'task "worker" not started yet. No logs available'),
        (500, "log entry for task worker and log type stdout not found"),
    ],
)
def test_the_log_of_a_task_that_never_ran_is_empty(status: int, text: str) -> None:
    assert says(text, status).client().log("a", "worker", "stdout") == ""


def test_a_log() -> None:
    asked = says("hello\n")
    assert asked.client().log("alloc-1", "worker", "stderr") == "hello\n"
    assert asked.requests[0].url.path == "/v1/client/fs/logs/alloc-1"
    assert asked.requests[0].url.params["type"] == "stderr"
    assert asked.requests[0].url.params["plain"] == "true"


@pytest.mark.parametrize(
    ("status", "text"), [(404, 'Unknown allocation "a"'), (400, 'unknown task name "nope"'), (500, "disk")]
)
def test_any_other_failure_of_a_log_is_an_error(status: int, text: str) -> None:
    with pytest.raises(LabError, match=rf"log of worker \({status}\)") as caught:
        says(text, status).client().log("a", "worker", "stdout")
    assert caught.value.log == text


def changing(*steps: tuple[int, Any]) -> Asked:
    """Answers blocking queries: one step after the other, then the last again and again."""
    left = list(steps)

    def answer(_: httpx.Request) -> httpx.Response:
        index, data = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(200, json=data, headers={"X-Nomad-Index": str(index)})

    return Asked(answer)


def test_following_gives_the_state_of_now_and_then_each_change() -> None:
    (data,) = recorded("nomad-allocations")
    running = {**data, "ClientStatus": "running"}
    asked = changing((5, []), (6, [running]), (6, [running]), (9, [data]))
    seen = []
    for allocations in asked.client().follow("try", 10):
        seen.append([a.status for a in allocations])
        if seen[-1] == ["failed"]:
            break
    assert seen == [[], ["running"], ["failed"]]
    assert [r.url.params["index"] for r in asked.requests] == ["0", "5", "6", "6"]
    assert all(r.url.params["wait"].endswith("ms") for r in asked.requests)


def test_following_starts_over_when_the_index_goes_back() -> None:
    asked = changing((50, []), (3, []), (4, []))
    follow = asked.client().follow("try", 10)
    for _ in range(3):
        next(follow)
    assert [r.url.params["index"] for r in asked.requests] == ["0", "50", "0"]


def test_following_ends_with_its_time() -> None:
    assert list(changing((5, [])).client().follow("try", 0.05)) == [[]]


@pytest.mark.parametrize(
    ("statuses", "pass_"),
    [
        (("success", "success"), True),
        (("success", "pending"), False),
        (("failure",), False),
        # None has run yet, or they are Consul's.
        ((), False),
    ],
)
def test_checks_pass_when_there_are_any_and_all_of_them_do(statuses: tuple[str, ...], pass_: bool) -> None:
    asked = answers({str(i): {"Check": "health", "Status": status} for i, status in enumerate(statuses)})
    assert asked.client().checks_pass("e763") is pass_
    assert asked.requests[0].url.path == "/v1/client/allocation/e763/checks"
