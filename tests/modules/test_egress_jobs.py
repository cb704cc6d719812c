"""The jobs of the periodic batch, the pool and the bridge, as Nomad reads them: what is special to each."""

from pathlib import Path
from typing import Any

import pytest

from tests.modules.job import Job, render
from tests.modules.snippet import proxies

pytestmark = pytest.mark.lab

SECOND = 1_000_000_000


def _job(name: str, **variables: str) -> Job:
    return render(Path(f"examples/{name}/{name}.nomad.hcl"), {"exit_node": "exit-a", **variables})


def _tasks(job: Job) -> dict[str, dict[str, Any]]:
    (group,) = job["TaskGroups"]
    return {task["Name"]: task for task in group["Tasks"]}


@pytest.mark.parametrize(
    ("name", "task", "given", "prefix"),
    [
        (
            "scheduled-batch-egress",
            "worker",
            {
                "batch_exports": "https://a.example.com/?q=1,https://b.example.com/",
                "batch_contains": "day,sum",
                "batch_result_url": "https://results.example.com/",
                "batch_interval": "0.5",
            },
            "BATCH",
        ),
        (
            "multi-worker-pool",
            "worker",
            {"pool_size": "7", "pool_urls": "https://a.example.com/?q=1", "pool_interval": "2.5"},
            "POOL",
        ),
        (
            "webhook-bridge",
            "bridge",
            {
                "bridge_feed_url": "https://a.example.com/events",
                "bridge_after": "41",
                "bridge_events": "9",
                "bridge_interval": "0.5",
            },
            "BRIDGE",
        ),
    ],
)
def test_each_variable_of_the_worker_reaches_it(
    name: str, task: str, given: dict[str, str], prefix: str
) -> None:
    worker = _tasks(_job(name, **given))[task]
    assert {key: worker["Env"][key.upper()] for key in given} == given
    # A request ends before the job is killed.
    assert float(worker["Env"][f"{prefix}_TIMEOUT"]) * SECOND < worker["KillTimeout"]


def test_the_schedule_is_the_operators_and_launches_do_not_overlap() -> None:
    given = {"schedule": "*/3 * * * * * *", "time_zone": "Europe/Berlin"}
    periodic = _job("scheduled-batch-egress", **given)["Periodic"]
    assert periodic["Specs"] == [given["schedule"]]
    assert periodic["TimeZone"] == given["time_zone"]
    assert periodic["ProhibitOverlap"] is True


def test_the_pools_size_is_how_many_there_are() -> None:
    job = _job("multi-worker-pool", pool_size="7")
    (group,) = job["TaskGroups"]
    assert group["Count"] == 7
    assert _tasks(job)["egress-guard"]["Env"]["TAILNET_NAME"].endswith("-${NOMAD_SHORT_ALLOC_ID}")


def test_the_handler_is_there_before_the_bridge_and_has_no_way_out() -> None:
    job = _job("webhook-bridge")
    tasks = _tasks(job)
    handler, bridge = tasks["handler"], tasks["bridge"]
    assert handler["Lifecycle"] == {"Hook": "prestart", "Sidecar": True}
    assert not bridge["Lifecycle"]
    assert not set(proxies()) & handler["Env"].keys()
    assert handler["User"] == bridge["User"] == "65534:65534"
    port = "${NOMAD_PORT_handler}"
    assert handler["Env"]["HANDLER_PORT"] == port
    assert bridge["Env"]["BRIDGE_HANDLER_URL"] == f"http://127.0.0.1:{port}/events"


def test_what_the_bridge_keeps_goes_along() -> None:
    (group,) = _job("webhook-bridge")["TaskGroups"]
    assert group["EphemeralDisk"]["Sticky"] is True
    assert group["EphemeralDisk"]["Migrate"] is True
    assert group["ReschedulePolicy"]["Unlimited"] is True
