"""SIGKILL at any moment: whoever comes next removes all of the dead run, and nothing of a live one."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest

from harness.cli.kept import current
from harness.engine import Engine, own_engine_runs
from harness.engine.process import Process
from harness.run import places
from harness.run.run import live_runs
from tests.robustness import traces
from tests.robustness.commands import Command
from tests.robustness.conftest import Start
from tests.robustness.moments import at_its_first_breath, in_boot, in_teardown, in_the_guards_test, in_the_job
from tests.robustness.proof import proves_everything

pytestmark = pytest.mark.lab


def killed(engine: Engine, run: Command, moment: Callable[[Engine, Command], None]) -> traces.Traces:
    """Kill a run at a moment; give what it had."""
    moment(engine, run)
    with run.held():
        had = traces.look(engine, run.run, run.mark)
        run.kill()
    assert had.files
    assert traces.look(engine, run.run, run.mark, had).containers, "the kill left nothing: it came too late"
    return had


def test_gc_removes_the_dead_and_leaves_the_living(engine: Engine, scenarios: Start, start: Start) -> None:
    living = scenarios("-k", "egress-worker and not sealed")
    booting = scenarios("-k", "egress-worker and not sealed")
    had = {booting: killed(engine, booting, in_boot)}
    working = scenarios("-k", "egress-worker and not sealed")
    had[working] = killed(engine, working, in_the_job)
    commands = {command for _, command in had[working].processes}
    for program in (
        "containerd-shim",
        "dockerd ",
        "nomad agent",
        "headscale",
        "tailscaled",
        "tcpdump",
        "python3",
    ):
        assert any(program in command for command in commands), f"no {program} was seen while it worked"

    before = traces.started_at(engine, living.run)
    gc = start("notailcar", "gc")
    assert gc.wait() == 0, gc.output
    assert "removed what dead runs had left" in gc.output
    for dead, earlier in had.items():
        assert not traces.look(engine, dead.run, dead.mark, earlier)
    if "proven" not in living.output:
        assert traces.started_at(engine, living.run) == before

    proves_everything(living)
    assert not traces.look(engine, living.run, living.mark)


@pytest.mark.parametrize("moment", [in_the_guards_test, in_teardown])
def test_the_next_start_removes_the_dead(
    engine: Engine, scenarios: Start, moment: Callable[[Engine, Command], None]
) -> None:
    dead = scenarios(
        "-k",
        "egress-worker and (egress_dns or guard_holds)"
        if moment is in_the_guards_test
        else "egress-worker and egress_dns",
    )
    had = killed(engine, dead, moment)
    following = scenarios("-k", "egress-worker and egress_address", on_terminal=True)
    # The dead run is swept before the new lab is booted, whatever becomes of that.
    traces.await_event(engine, following, "start")
    assert not traces.look(engine, dead.run, dead.mark, had)
    following.press_ctrl_c()
    assert following.wait() == 2, following.output
    assert not traces.look(engine, following.run, following.mark)


@pytest.mark.parametrize("moment", [at_its_first_breath, in_boot])
def test_when_nobody_lives_the_engine_goes_too(
    engine: Engine, scenarios: Start, start: Start, moment: Callable[[Engine, Command], None]
) -> None:
    dead = scenarios("-k", "egress-worker and egress_dns")
    moment(engine, dead)
    with dead.held():
        had = traces.look(engine, dead.run, dead.mark)
        dead.kill()
    assert had.files
    gc = start("notailcar", "gc")
    assert gc.wait() == 0, gc.output
    assert not traces.look(engine, dead.run, dead.mark, had)
    if not engine.own:
        pytest.skip("the engine is the user's, and stays")
    if live_runs():
        pytest.skip("another run lives on this machine now, and holds the engine")
    assert not own_engine_runs()


def test_gc_knows_a_run_that_never_got_its_name(start: Start) -> None:
    unborn = Path(mkdtemp(prefix=".", dir=places.runs()))
    young = Path(mkdtemp(prefix=".", dir=places.runs()))
    an_hour_ago = time.time() - 3600
    os.utime(unborn, (an_hour_ago, an_hour_ago))
    gc = start("notailcar", "gc")
    assert gc.wait() == 0, gc.output
    assert not unborn.exists()
    assert young.exists()
    young.rmdir()


def test_a_killed_keeper_is_a_dead_run(engine: Engine, start: Start) -> None:
    up = start("notailcar", "up")
    code = up.wait()
    if "a lab is kept already" in up.output:
        pytest.skip("somebody keeps a lab on this machine, which is not ours to end")
    assert code == 0, up.output
    kept = current()
    had = traces.look(engine, kept.run, up.mark)
    keeper = Process.of(kept.keeper)
    assert keeper in {process for process, _ in had.processes}
    keeper.send(signal.SIGKILL)
    assert keeper.wait(5)
    gc = start("notailcar", "gc")
    assert gc.wait() == 0, gc.output
    assert not traces.look(engine, kept.run, up.mark, had)
    down = start("notailcar", "down")
    assert down.wait() == 2
    assert "no lab is kept" in down.output or "keeper was killed" in down.output
