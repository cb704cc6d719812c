"""Pinned programs as files: from the source build, and out of an image."""

import subprocess
from pathlib import Path

import pytest

from harness.engine import find_engine
from harness.errors import UsageError
from harness.run import places
from harness.run.run import Run
from harness.supply import PlainProgress, Supply
from harness.supply.pins import load_pins
from harness.supply.programs import copied_out, program

pytestmark = pytest.mark.lab


def _says(file: Path) -> str:
    return subprocess.run([file, "version"], capture_output=True, text=True, check=True).stdout


def test_a_program_runs_and_is_of_the_pinned_version() -> None:
    assert f"v{load_pins().go['nomad'].version}" in _says(program("nomad"))


def test_an_unknown_program_is_named() -> None:
    with pytest.raises(UsageError, match="pins no Go program vault"):
        program("vault")


def test_an_image_gives_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin = load_pins().go["headscale"]
    with Run() as run, find_engine(run, lambda _: None) as engine:
        image = Supply(engine, run, PlainProgress(lambda _: None)).ensure(("headscale",))["headscale"]
        # A cache of its own from here on: what was built from source stands in the real one.
        monkeypatch.setenv("NOTAILCAR_CACHE", str(tmp_path / "cache"))
        (tmp_path / "scratch").mkdir()
        first = copied_out(engine, image, pin.binaries[0], tmp_path / "scratch")
        assert first.is_relative_to(places.cache())
        assert pin.version in _says(first)
        assert copied_out(engine, image, pin.binaries[0], tmp_path / "scratch") == first
