"""The user's Docker: found by DOCKER_HOST or by the context, asked first, and only looked at."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.engine import find_engine
from harness.engine.users import Silence, users_engine
from harness.run.run import Run
from tests.engine.conftest import Holder

Hold = Callable[[], tuple[Holder, str]]


@pytest.fixture
def users(hold: Hold, monkeypatch: pytest.MonkeyPatch) -> str:
    """An engine at an address of its own, as a user's would be."""
    url = hold()[1]
    monkeypatch.delenv("NOTAILCAR_ENGINE")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    return url


@pytest.mark.lab
def test_it_is_found_by_docker_host(users: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", users)
    with Run() as run, find_engine(run, lambda _: None) as engine:
        assert engine.base_url == users
        assert not engine.own
        assert "(yours)" in engine.describe()
        assert engine.data_root is not None
    assert not isinstance(users_engine(), Silence)


@pytest.mark.lab
def test_it_is_found_by_the_context(users: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "docker" / "contexts" / "meta" / hashlib.sha256(b"here").hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(
        json.dumps({"Name": "here", "Metadata": {}, "Endpoints": {"docker": {"Host": users}}})
    )
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"currentContext": "here"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    found = users_engine()
    assert not isinstance(found, Silence), found
    assert found.base_url == users


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1", "nonsense://x"])
def test_silence_is_told_with_its_reason(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    found = users_engine()
    assert isinstance(found, Silence)
    assert found.where == host
    assert found.reason
