"""The examples on a cluster that plays a real one: three servers, two clients, TLS, ACLs; by settings."""

import signal
from pathlib import Path

import pytest

from harness.claims.catalogue import CLAIMS
from harness.job import example as examples_of
from harness.live.sight import Sight, limit
from tests.live.runs import ROOT, LiveRun, nothing_left
from tests.live.standin.standin import StandIn

pytestmark = pytest.mark.lab
EVERY_EYE = Sight(observer=True, listed=True, client=True, stranger=True, consul=True)
SERVICE = "private-serve-config"
"""The example that needs Tailscale Services, which headscale has not."""


def test_every_example_by_the_settings_alone(stand_in: StandIn, tmp_path: Path) -> None:
    """What can be seen there is proven of all of them, what cannot is unproven; then nothing is left."""
    ended = LiveRun(stand_in, tmp_path, "-n", "2").wait()
    assert ended.code == 1, ended.output
    for example in examples_of.find(ROOT / "examples"):
        verdicts = ended.verdicts(example.name)
        expected = {
            claim.id: "unproven" if example.name == SERVICE or limit(claim.id, EVERY_EYE) else "proven"
            for claim in CLAIMS
            if not claim.absence(example.smoke)
        }
        assert verdicts == expected, [c for c in ended.claims if c["subject"] == example.name]
    assert "Tailscale Services" in ended.reason(SERVICE, "serve.reachable")
    nothing_left(stand_in)


def test_ctrl_c_in_the_middle(stand_in: StandIn, tmp_path: Path) -> None:
    run = LiveRun(stand_in, tmp_path, "-k", "private-http-service")
    run.until_said("client")
    run.signal(signal.SIGINT)
    assert run.wait().code == 2, run.output
    nothing_left(stand_in)


def test_a_killed_run_is_swept(stand_in: StandIn, tmp_path: Path) -> None:
    run = LiveRun(stand_in, tmp_path, "-k", "private-http-service")
    run.until_said("client")
    run.signal(signal.SIGKILL)
    run.wait()
    left = stand_in.left()
    assert left.jobs
    assert left.variables
    assert left.keys
    gc = stand_in.run(("notailcar", "gc", "--site", "live"), stand_in.settings(), folder=ROOT)
    said, _ = gc.communicate(timeout=120)
    assert gc.returncode == 0, said
    for job in left.jobs:
        assert f"removed job {job.rpartition('/')[2]}" in said
    nothing_left(stand_in)
    # There is nothing more to do, and that is said.
    again = stand_in.run(("notailcar", "gc", "--site", "live"), stand_in.settings(), folder=ROOT)
    assert "dead runs left nothing there" in again.communicate(timeout=120)[0]


def test_the_leader_is_lost(stand_in: StandIn, tmp_path: Path) -> None:
    """In the middle of a run: the others elect another, and the run goes on to its verdicts."""
    stand_in.let_lead("server-1")
    run = LiveRun(stand_in, tmp_path, "-k", "egress-worker and (address or tagged)")
    run.until_said("egress-worker")
    with stand_in.without("server-1"):
        ended = run.wait()
    assert ended.code == 0, ended.output
    nothing_left(stand_in)


def test_the_server_that_is_spoken_to_is_lost(stand_in: StandIn, tmp_path: Path) -> None:
    """For longer than a run waits: a clear error that names the setting, and what it left is swept."""
    run = LiveRun(stand_in, tmp_path, "-k", "private-http-service and tagged")
    run.until_said("private-http-service")
    with stand_in.without("server-2"):
        ended = run.wait()
    assert ended.code == 3, ended.output
    assert "Nomad does not answer" in ended.output
    assert "notailcar gc --site live" in ended.output
    gc = stand_in.run(("notailcar", "gc", "--site", "live"), stand_in.settings(), folder=ROOT)
    assert gc.wait(120) == 0
    nothing_left(stand_in)


def test_a_client_is_drained(stand_in: StandIn, tmp_path: Path) -> None:
    """In the middle of a run: a verdict, or an error that says what became of the allocation."""
    run = LiveRun(stand_in, tmp_path, "-k", "private-http-service and (reachable or tagged)")
    run.until_said("private-http-service")
    with stand_in.drained("client-1"):
        ended = run.wait()
    assert ended.code in (0, 1, 3), ended.output
    assert ended.code == 3 or ended.claims
    nothing_left(stand_in)


def test_the_connection_is_cut(stand_in: StandIn, tmp_path: Path) -> None:
    """In the middle of a run, and comes back: the run goes on, as a short cut is no news."""
    run = LiveRun(stand_in, tmp_path, "-k", "egress-worker and (address or tagged)")
    run.until_said("egress-worker")
    with stand_in.cut():
        stand_in.wait_for_leader()
    ended = run.wait()
    assert ended.code == 0, ended.output
    nothing_left(stand_in)
