"""Where things are, by what the environment says."""

from pathlib import Path

import pytest

from harness.run import places


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTAILCAR_CACHE", "NOTAILCAR_REPORTS", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/srv/someone")
    assert places.cache() == Path("/srv/someone/.cache/notailcar")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/someone")
    assert places.cache() == Path("/var/cache/someone/notailcar")
    monkeypatch.setenv("NOTAILCAR_CACHE", "/srv/kept")
    assert places.cache() == Path("/srv/kept")
    assert places.runs() == Path("/srv/kept/runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTAILCAR_CACHE", "near")
    assert places.cache() == tmp_path / "near"


def test_reports_are_where_the_command_was_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert places.reports() == tmp_path / "reports"
    monkeypatch.setenv("NOTAILCAR_REPORTS", "/srv/reports")
    assert places.reports() == Path("/srv/reports")


@pytest.mark.parametrize("name", ["topology.toml", "versions.toml", "router/flowbook.nft", "echo/echo.py"])
def test_fixtures_are_there(name: str) -> None:
    assert (places.fixtures() / name).is_file()
    assert (places.data("acl") / "example-tailscale-acl.json").is_file()
    assert (places.data("docker") / "guard-image" / "Dockerfile").is_file()


def test_a_wheel_has_its_data_beside_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(places, "_REPOSITORY", tmp_path)
    monkeypatch.setattr(places, "_PACKAGED", tmp_path / "harness" / "_data")
    assert places.data("fixtures") == tmp_path / "harness" / "_data" / "fixtures"
