"""A repository to decide in, and the gate as a person calls it there."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli.main import cli
from tests.gate import build

Gate = Callable[..., Result]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    build.repository(folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("NOTAILCAR_REPORTS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return folder


@pytest.fixture
def gate(repository: Path) -> Gate:
    def decide(*arguments: str, policy: str = "") -> Result:
        if policy:
            (repository / "reports").mkdir(exist_ok=True)
            file = repository / "reports" / "policy.toml"
            file.write_text(policy, encoding="utf-8")
            arguments = ("--require", str(file), *arguments)
        return CliRunner().invoke(cli, ["gate", *arguments], catch_exceptions=False, standalone_mode=False)

    return decide
