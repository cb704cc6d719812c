"""Which recipe, which registry, and how a wrong setting or a bare machine is told."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.supply import choice, registry
from harness.supply.catalogue import Recipe
from tests.supply.conftest import Command

Start = Callable[..., Command]


def test_an_unknown_recipe_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTAILCAR_SUPPLY", "bakery")
    with pytest.raises(UsageError, match="NOTAILCAR_SUPPLY=bakery"):
        choice.candidates()
    assert not cache.exists()


def test_the_recipe_that_made_the_cache_is_looked_at_first(cache: Path) -> None:
    cache.mkdir()
    choice.remember(Recipe.SOURCE)
    assert choice.candidates() == [Recipe.SOURCE, Recipe.REGISTRY]
    choice.remember(Recipe.REGISTRY)
    assert choice.candidates() == [Recipe.REGISTRY, Recipe.SOURCE]


@pytest.mark.parametrize("value", ["https://mirror:5000/x", "mirror 5000"])
def test_a_registry_with_a_scheme_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NOTAILCAR_REGISTRY", value)
    with pytest.raises(UsageError, match="is not host:port/prefix"):
        registry.prefix()


def test_names_below_a_mirror() -> None:
    assert registry.pulled_name("hashicorp/nomad:1", "") == "hashicorp/nomad:1"
    assert registry.pulled_name("hashicorp/nomad:1", "m:5000/x") == "m:5000/x/hashicorp/nomad:1"
    assert registry.pulled_name("python:3", "m:5000/x") == "m:5000/x/library/python:3"


@pytest.mark.lab
@pytest.mark.usefixtures("own_engine")
def test_registry_and_go_both_missing_names_both_ways_out(start: Start, without_go: str) -> None:
    child = start("nomad", settings={"PATH": without_go, "NOTAILCAR_REGISTRY": "registry.invalid:1/x"})
    said, _ = child.communicate(timeout=15)
    assert child.returncode == 3, said
    assert "registry.invalid:1 does not answer" in said
    assert "no `go` on PATH" in said
    assert "install Go" in said
    assert "NOTAILCAR_REGISTRY" in said


@pytest.mark.lab
@pytest.mark.usefixtures("own_engine")
def test_a_registry_that_is_set_and_silent_is_an_error_in_seconds(start: Start) -> None:
    child = start("nomad", settings={"NOTAILCAR_SUPPLY": "registry", "NOTAILCAR_REGISTRY": "127.0.0.1:1/x"})
    said, _ = child.communicate(timeout=15)
    assert child.returncode == 3, said
    assert "127.0.0.1:1 does not answer" in said
    assert "NOTAILCAR_SUPPLY=source" in said


@pytest.mark.lab
@pytest.mark.usefixtures("own_engine")
def test_a_wrong_pin_costs_no_engine_and_no_time(start: Start, checkout: Path) -> None:
    versions = checkout / "fixtures" / "versions.toml"
    versions.write_text(versions.read_text().replace('"0.29.3"', '"0.99.0"'))
    child = start("headscale", cwd=checkout)
    said, _ = child.communicate(timeout=15)
    assert child.returncode == 2, said
    assert "go.headscale.version is 0.99.0" in said


@pytest.mark.lab
@pytest.mark.usefixtures("own_engine")
def test_a_version_that_does_not_exist_is_told_with_what_go_says(start: Start, checkout: Path) -> None:
    if subprocess.run(["which", "go"], capture_output=True, check=False).returncode:
        pytest.skip("needs Go")
    for file in (checkout / "fixtures/versions.toml", checkout / "fixtures/go/headscale/go.mod"):
        text = file.read_text()
        file.write_text(
            text.replace('"0.29.3"', '"0.29.999"').replace("headscale v0.29.3", "headscale v0.29.999")
        )
    child = start("headscale", cwd=checkout, settings={"NOTAILCAR_SUPPLY": "source"})
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 3, said
    assert "Go does not find github.com/juanfont/headscale v0.29.999" in said
    assert "versions.toml" in said
