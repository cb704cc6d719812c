"""An observer that runs: one for a file of tests, or one of a test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.observer.programs import Running, observer


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with observer(tmp_path_factory.mktemp("observer")) as started:
        yield started


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Running]:
    with observer(tmp_path) as started:
        yield started
