"""Ctrl-C and SIGTERM: the run itself removes all that it has, soon, and says that it was interrupted."""

import signal
import time
from collections.abc import Callable

import pytest

from harness.engine import Engine
from harness.run.run import live_runs
from tests.robustness import traces
from tests.robustness.commands import Command
from tests.robustness.conftest import Start
from tests.robustness.moments import in_boot, in_teardown, in_the_guards_test, in_the_job
from tests.robustness.proof import claims

pytestmark = pytest.mark.lab
SOON = 20
"""Seconds, on a machine that is busy with other things; alone it takes two or three."""


def ctrl_c(run: Command) -> None:
    run.press_ctrl_c()


def sigterm(run: Command) -> None:
    run.send(signal.SIGTERM)


def ctrl_c_thrice(run: Command) -> None:
    """As people do when nothing seems to happen."""
    for _ in range(3):
        run.press_ctrl_c()
        time.sleep(0.3)  # an impatient person's pause; nothing is awaited


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        (in_boot, ctrl_c),
        (in_boot, sigterm),
        (in_the_job, ctrl_c_thrice),
        (in_the_job, sigterm),
        (in_the_guards_test, ctrl_c),
        (in_teardown, ctrl_c),
    ],
)
def test_an_interrupted_run_leaves_nothing(
    engine: Engine,
    scenarios: Start,
    moment: Callable[[Engine, Command], None],
    end: Callable[[Command], None],
) -> None:
    wanted = "(egress_dns or guard_holds)" if moment is in_the_guards_test else "egress_dns"
    run = scenarios("-k", f"egress-worker and {wanted}", on_terminal=True)
    moment(engine, run)
    with run.held():
        had = traces.look(engine, run.run, run.mark)
    assert had.containers
    began = time.monotonic()
    end(run)
    assert run.wait() == 2, run.output
    assert time.monotonic() - began < SOON
    assert not traces.look(engine, run.run, run.mark, had)
    assert not list(run.temporary.iterdir())
    assert "KeyboardInterrupt" in run.output
    assert "Traceback" not in run.output
    assert "INTERNALERROR" not in run.output
    # What was judged before is reported, and nothing else.
    judged = {claim for _, claim in claims(run)}
    assert judged == (set() if moment in {in_boot, in_the_job} else {"egress.dns"})


def test_a_lab_that_is_not_to_be_kept_after_all(engine: Engine, start: Start) -> None:
    up = start("notailcar", "up", on_terminal=True)
    try:
        up.wait_for("router")
    except AssertionError:
        if "a lab is kept already" in up.output:
            pytest.skip("somebody keeps a lab on this machine, which is not ours to end")
        raise
    # Other runs may have begun as well.
    (run,) = (folder.name for folder in live_runs() if traces.holds(up.mark, folder / "lock"))
    had = traces.look(engine, run, up.mark)
    up.press_ctrl_c()
    assert up.wait() == 130, up.output
    assert "notailcar: interrupted" in up.output
    assert "Traceback" not in up.output
    assert not traces.look(engine, run, up.mark, had)
