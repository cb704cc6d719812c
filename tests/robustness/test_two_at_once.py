"""Two runs at once, each with a lab of its own and all the same addresses in it."""

import pytest

from harness.engine import Engine
from tests.robustness import traces
from tests.robustness.conftest import Start
from tests.robustness.proof import proves_everything

pytestmark = pytest.mark.lab


def test_two_runs_at_once_prove_everything(engine: Engine, scenarios: Start) -> None:
    first = scenarios("-k", "egress-worker and not sealed")
    second = scenarios("-k", "egress-worker and not sealed")
    for run in (first, second):
        traces.await_event(engine, run, "start")
    had = {run: traces.look(engine, run.run, run.mark) for run in (first, second)}
    assert not had[first].containers & had[second].containers
    for run in (first, second):
        proves_everything(run)
    for run, earlier in had.items():
        assert not traces.look(engine, run.run, run.mark, earlier)
        assert not list(run.temporary.iterdir())
