"""One whole lab for the tests that need it."""

from collections.abc import Iterator

import pytest

from harness.assembly import Ready, default_topology, ready_lab
from harness.lab.lab import Lab
from harness.report.progress import Progress
from harness.run.run import Run


@pytest.fixture(scope="session")
def ready() -> Iterator[Ready]:
    with Progress() as progress, Run() as run, ready_lab(default_topology(), run, progress) as made:
        yield made


@pytest.fixture(scope="session")
def lab(ready: Ready) -> Lab:
    return ready.lab
