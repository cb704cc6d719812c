"""One installation for all tests of it."""

from pathlib import Path

import pytest

from tests.package.wheel import REPOSITORY, Fresh, build, install


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", REPOSITORY, tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def fresh(wheel: Path, tmp_path: Path) -> Fresh:
    return install(wheel, tmp_path)
