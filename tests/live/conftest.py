"""One stand-in of a real cluster for all tests of the live site."""

from collections.abc import Iterator

import pytest

from harness.report.progress import Progress
from harness.run.run import Run
from tests.live.standin.assembly import ready_stand_in
from tests.live.standin.standin import StandIn


@pytest.fixture(scope="session")
def stand_in() -> Iterator[StandIn]:
    with Progress() as progress, Run() as run, ready_stand_in(run, progress) as made:
        yield made
