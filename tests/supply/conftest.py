"""A cache of the test's own, a checkout that may be spoilt, and the supply command as another process."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from harness.engine import stop_if_unused
from harness.run import places

REPOSITORY = Path(__file__).resolve().parents[2]
Command = subprocess.Popen[str]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "cache"
    monkeypatch.setenv("NOTAILCAR_CACHE", str(folder))
    for name in ("NOTAILCAR_SUPPLY", "NOTAILCAR_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    yield folder
    if os.geteuid() == 0:
        stop_if_unused(lambda _: None)


@pytest.fixture
def own_engine(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if os.geteuid() != 0:
        pytest.skip("an own engine needs root")
    monkeypatch.setenv("NOTAILCAR_ENGINE", "own")
    return cache


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the supply is made of, to be changed by the test."""
    copy = tmp_path / "checkout"
    for name in ("harness", "fixtures", "docker"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", copy)
    return copy


@pytest.fixture
def spoilt(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, used by this process: its fixtures folder."""
    monkeypatch.setattr(places, "_REPOSITORY", checkout)
    return checkout / "fixtures"


@pytest.fixture
def without_go(tmp_path: Path) -> str:
    """A PATH with all that the system has, but for Go."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for system in (Path("/usr/bin"), Path("/bin")):
        for program in system.iterdir():
            if program.name != "go" and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return str(folder)


@pytest.fixture
def start(cache: Path) -> Iterator[Callable[..., Command]]:
    """Start `python -m harness.supply` with images and settings; the test waits for it, or kills it."""
    started: list[Command] = []

    def command(*images: str, settings: Mapping[str, str] | None = None, cwd: Path = REPOSITORY) -> Command:
        path = os.pathsep.join([str(cwd), os.environ.get("PYTHONPATH", "")])
        child = subprocess.Popen(
            # A shell starts what it puts in the background with SIGINT ignored, and children inherit that.
            ["env", "--default-signal=INT", sys.executable, "-m", "harness.supply", *images],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "NOTAILCAR_CACHE": str(cache), "PYTHONPATH": path, **(settings or {})},
        )
        started.append(child)
        return child

    yield command
    for child in started:
        child.kill()
        child.wait()
        if child.stdout:
            child.stdout.close()
