"""The doctor: says what it found, and never fails itself."""

from pathlib import Path

import pytest

from harness.run.run import Run
from harness.supply.catalogue import ALL
from harness.supply.doctor import Finding, State, inspect
from harness.supply.pins import load_pins


def findings() -> dict[str, Finding]:
    with Run() as run:
        return {finding.name: finding for finding in inspect(run)}


@pytest.mark.lab
@pytest.mark.usefixtures("own_engine")
def test_an_empty_cache_misses_its_images_and_says_what_makes_them() -> None:
    found = findings()
    assert found["python"].state is State.OK
    assert found["engine"].state is State.OK
    for name in ALL:
        assert found[f"image {name}"].state is State.WARNING
        assert "prepare" in found[f"image {name}"].remedy
    for name, pin in load_pins().further:
        assert found[f"{name} {pin.version}"].state is State.WARNING
        assert "prepare --all-versions" in found[f"{name} {pin.version}"].remedy


@pytest.mark.lab
@pytest.mark.usefixtures("own_engine")
def test_a_machine_with_nothing_is_told_what_to_do(without_go: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", without_go)
    monkeypatch.setenv("NOTAILCAR_REGISTRY", "registry.invalid:1/x")
    found = findings()
    assert found["go"].state is State.WARNING
    assert "install Go 1.26" in found["go"].remedy
    assert found["registry"].state is State.WARNING
    assert "NOTAILCAR_REGISTRY" in found["registry"].remedy


@pytest.mark.usefixtures("cache")
def test_a_wrong_setting_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTAILCAR_ENGINE", "mine")
    found = findings()
    assert found["engine"].state is State.MISSING
    assert "NOTAILCAR_ENGINE=mine" in found["engine"].detail


@pytest.mark.usefixtures("cache")
def test_wrong_pins_are_a_finding(spoilt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTAILCAR_ENGINE", "mine")
    (spoilt / "versions.toml").write_text("[go]\n")
    assert findings()["pins"].state is State.MISSING
