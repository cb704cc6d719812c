"""What Nomad is told of an egress job: well while its exit carries the traffic, else why not."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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


@contextmanager
def worker(lab: Lab, **given: str) -> Iterator[Submission]:
    """egress-worker as it stands, but for how long it works, and what is given."""
    example = examples.load(REPOSITORY / "examples/egress-worker")
    example.smoke.vars["worker_requests"] = "1000"
    example.smoke.vars["worker_interval"] = "0.2"
    example.smoke.vars.update(given)
    rendered = render_here(example, program("nomad"), site_values(lab.topology, lab.control.login_server))
    key = lab.control.client.create_key(tags=example.smoke.tags, ephemeral=True, reusable=True)
    with Submission(lab.node.nomad, rendered, OwnNamespace("health")) as submission:
        yield submission.register(key)


def check(lab: Lab, allocation: Allocation) -> tuple[str, list[str]]:
    """What Nomad has of the allocation's check: its status, and the reasons that it was given."""
    asked = f"http://127.0.0.1:4646/v1/client/allocation/{allocation.id}/checks"
    checks: dict[str, Any] = json.loads(lab.node.host.run("curl", "-sS", asked).expect().stdout or "{}")
    if len(checks) != 1:
        return "none yet", []
    (found,) = checks.values()
    if found["Status"] != "failure":
        # Of a check that passes, Nomad keeps no more than that it does.
        return found["Status"], []
    # Of one that fails, what it was answered; at first that nobody answers yet.
    output: str = found["Output"]
    return "failure", json.loads(output)["reasons"] if output.startswith("{") else [output]


def test_nomads_check_says_whether_the_exit_carries_the_traffic(lab: Lab) -> None:
    with worker(lab) as submission:
        allocation = submission.wait(lambda a: any(t.name == "worker" and t.started for t in a.tasks), 60)
        wait_until(lambda: check(lab, allocation) == ("success", []), seconds=20, what="the check passes")
        short = allocation.id[:8]
        # What the check asks is seen from the exit, and is no worker's.
        mine = [
            line.request for line in lab.echo.seen() if line.request.target == "GET http://echo.lab.test/"
        ]
        assert any(not r.agent and not r.token for r in mine), mine
        assert not any(short in r.token + r.agent for r in mine)
        exits = {str(a) for h in lab.topology.exits if h.name == "exit-a" for a in (*h.v4, *h.v6)}
        assert {r.peer for r in mine if not r.agent} <= exits
        (exit_a,) = (n for n in lab.control.client.nodes() if n.name == "exit-a")
        had = lab.control.client.routes(exit_a.id)
        before = len(lab.echo.seen())
        lab.control.client.approve(exit_a.id, ())
        try:
            wait_until(lambda: check(lab, allocation)[0] == "failure", seconds=20, what="the check fails")
            status, reasons = check(lab, allocation)
            assert (status, reasons) == (
                "failure",
                ["no exit node is set that is in the tailnet: traffic goes out directly"],
            )
            # The check itself asked nobody then, and what the worker asks is held by the gate.
            since = [line.request for line in lab.echo.seen()[before:]]
            node = {str(a) for h in lab.topology.hosts if h.name == "node" for a in (*h.v4, *h.v6)}
            assert not [r for r in since if r.peer in node]
        finally:
            lab.control.client.approve(exit_a.id, had)
        wait_until(
            lambda: check(lab, allocation) == ("success", []), seconds=20, what="the check passes again"
        )


def test_an_exit_that_is_gone_for_too_long_ends_the_allocation(lab: Lab) -> None:
    with worker(lab, gate_patience="2") as submission:
        submission.wait(lambda a: any(t.name == "worker" and t.started for t in a.tasks), 60)
        (exit_a,) = (n for n in lab.control.client.nodes() if n.name == "exit-a")
        had = lab.control.client.routes(exit_a.id)
        lab.control.client.approve(exit_a.id, ())
        try:
            ended = submission.wait(lambda a: a.over, 60)
        finally:
            lab.control.client.approve(exit_a.id, had)
        gate = ended.task("gate")
        assert ended.status == "failed"
        assert gate is not None
        assert gate.failed
        assert 20 in {event.exit_code for event in gate.events}, gate.events
