"""webhook-bridge in the lab: each event acknowledged once; and killed there, nothing lost, nothing twice."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.job import example as examples
from harness.job.here import render_here
from harness.job.submission import OwnNamespace, Submission
from harness.lab.lab import Lab
from harness.management.nomad import Allocation
from harness.management.waiting import wait_until
from harness.probes.stage import site_values
from harness.supply.programs import program
from tests.toolkit.programs import REPOSITORY

pytestmark = pytest.mark.lab

EVENTS = range(1, 8)
FEED = "https://echo.lab.test/events"
SECOND = 1_000_000_000


@contextmanager
def bridge(lab: Lab, interval: str) -> Iterator[Submission]:
    """The example as it stands, but for how long it rests, and how soon Nomad replaces an allocation."""
    example = examples.load(REPOSITORY / "examples/webhook-bridge")
    example.smoke.vars["bridge_interval"] = interval
    rendered = render_here(example, program("nomad"), site_values(lab.topology, lab.control.login_server))
    rendered.job["TaskGroups"][0]["ReschedulePolicy"]["Delay"] = 5 * SECOND
    key = lab.control.client.create_key(tags=example.smoke.tags, ephemeral=True, reusable=True)
    with Submission(lab.node.nomad, rendered, OwnNamespace("bridge")) as submission:
        yield submission.register(key)


def acknowledged(lab: Lab, allocations: list[Allocation]) -> dict[str, int]:
    agents = {f"webhook-bridge/{a.id[:8]}" for a in allocations}
    seen = [line.request for line in lab.echo.seen() if line.request.agent in agents]
    return dict(Counter(r.target for r in seen if r.target.startswith("POST ")))


def acks(events: range) -> dict[str, int]:
    return {f"POST {FEED}/{n}/ack": 1 for n in events}


def handled(lab: Lab, allocations: list[Allocation]) -> list[int]:
    logs = [lab.node.nomad.log(a.id, "handler", "stdout") for a in allocations]
    return [int(json.loads(line)["handled"]) for log in logs for line in log.splitlines()]


def wait_for_acks(lab: Lab, submission: Submission, events: range) -> None:
    wait_until(
        lambda: acknowledged(lab, submission.allocations()).keys() >= acks(events).keys(),
        seconds=30,
        what=f"events up to {events[-1]} are acknowledged",
    )


def kill(lab: Lab, task: str, allocation: Allocation) -> None:
    lab.node.host.run("docker", "kill", "--signal=KILL", f"{task}-{allocation.id}").expect()


def test_each_event_is_acknowledged_once(lab: Lab) -> None:
    with bridge(lab, "0.2") as submission:
        allocation = submission.wait(lambda a: a.over, 60)
        assert allocation.status == "complete"
        assert acknowledged(lab, [allocation]) == acks(EVENTS)
        assert handled(lab, [allocation]) == list(EVENTS)


def test_killed_bridge_handler_sidecar_and_gate_lose_nothing_and_do_nothing_twice(lab: Lab) -> None:
    with bridge(lab, "2") as submission:
        # Each page is followed by a rest, in which what was passed on is on the disk.
        wait_for_acks(lab, submission, range(1, 4))
        (first,) = submission.allocations()
        kill(lab, "handler", first)
        kill(lab, "bridge", first)
        # Nomad restarts this one, and the gate is closed meanwhile.
        kill(lab, "tailscale", first)
        wait_for_acks(lab, submission, range(1, 7))
        # With the gate, the allocation ends.
        kill(lab, "gate", first)
        last = submission.wait(lambda a: a.status == "complete", 60)
        both = submission.allocations()
        assert {a.id for a in both} == {first.id, last.id}
        assert acknowledged(lab, [first]) == acks(range(1, 7))
        assert acknowledged(lab, [last]) == acks(range(7, 8))
        assert sorted(handled(lab, both)) == list(EVENTS)
