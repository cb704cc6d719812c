"""One lab for all documents."""

from collections.abc import Iterator

import pytest

from harness.assembly import default_topology, ready_lab
from harness.lab.lab import Lab
from harness.report.progress import Progress
from harness.run.run import Run


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with Progress() as progress, Run() as run, ready_lab(default_topology(), run, progress) as ready:
        yield ready.lab
