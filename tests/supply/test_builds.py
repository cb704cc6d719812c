"""Builds as they go wrong or meet each other: two at once, one killed, a full disk."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.engine import find_engine
from harness.run.run import Run, dead_runs
from harness.supply import PlainProgress, Supply
from harness.supply.ca import ca_pem
from harness.supply.catalogue import Catalogue, Recipe
from harness.supply.pins import load_pins
from harness.supply.source import programs_folder
from harness.supply.sweep import sweep
from tests.supply.conftest import Command

Start = Callable[..., Command]
SOURCE = {"NOTAILCAR_SUPPLY": "source"}
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(shutil.which("go") is None, reason="builds from source need Go"),
]


def quiet(_: str) -> None:
    pass


def programs(name: str) -> Path:
    return programs_folder(Catalogue(Recipe.SOURCE, load_pins(), ca_pem(), ""), name)


def processes_in(folder: Path) -> list[str]:
    """Commands of processes that were given a path below a folder, in any pid namespace below ours."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes() if process.name.isdecimal() else b""
        except OSError:
            continue
        if str(folder).encode() in command:
            found.append(command.replace(b"\0", b" ").decode(errors="replace")[:200])
    return found


def await_line(child: Command, pattern: str) -> str:
    assert child.stdout is not None
    for line in child.stdout:
        if re.search(pattern, line):
            return line
    raise AssertionError(f"it ended without a line like {pattern}")


@pytest.mark.usefixtures("own_engine")
def test_two_runs_at_once_share_one_build(start: Start) -> None:
    first, second = start("headscale", settings=SOURCE), start("headscale", settings=SOURCE)
    said = [child.communicate(timeout=600)[0] for child in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    together = "".join(said)
    assert together.count("build headscale: done") == 1
    assert together.count("another run is building it") == 1
    references = re.findall(r"^(notailcar/headscale:\S+)", together, re.MULTILINE)
    assert len(references) == 2
    assert len(set(references)) == 1


@pytest.mark.usefixtures("own_engine")
def test_a_run_killed_in_a_go_build_leaves_nothing_half_done(
    start: Start, cache: Path, tmp_path: Path
) -> None:
    # With an empty cache of compiled packages, the build takes long enough to be killed.
    child = start("headscale", settings={**SOURCE, "GOCACHE": str(tmp_path / "gocache")})
    await_line(child, "build headscale: github.com")
    scratch = cache / "runs"
    deadline = time.monotonic() + 60
    while not list((tmp_path / "gocache").glob("*/*-d")):
        assert time.monotonic() < deadline, "no package was compiled within a minute"
    assert processes_in(scratch)
    os.kill(child.pid, signal.SIGKILL)
    assert child.stdout is not None
    child.stdout.read()
    child.wait()
    deadline = time.monotonic() + 5
    while left := processes_in(scratch):
        assert time.monotonic() < deadline, left
    assert not programs("headscale").exists()
    assert len(dead_runs()) == 1

    swept = sweep(None)
    assert [path.name for path in swept.files] == ["supply"]
    again = start("headscale", settings=SOURCE)
    said, _ = again.communicate(timeout=600)
    assert again.returncode == 0, said
    assert programs("headscale").is_dir()


@pytest.mark.usefixtures("own_engine")
def test_ctrl_c_in_a_go_build_ends_at_once(start: Start, cache: Path, tmp_path: Path) -> None:
    child = start("headscale", settings={**SOURCE, "GOCACHE": str(tmp_path / "gocache")})
    await_line(child, "build headscale: github.com")
    begun = time.monotonic()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)
    assert time.monotonic() - begun < 5
    assert child.returncode != 0
    assert not processes_in(cache)
    assert not programs("headscale").exists()
    assert not list((cache / "runs").iterdir())


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path, int], None]]:
    mounted: list[Path] = []

    def mount(folder: Path, megabytes: int) -> None:
        folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.usefixtures("own_engine")
def test_too_little_room_is_told_before_anything_is_built(
    start: Start, cache: Path, small_disk: Callable[[Path, int], None]
) -> None:
    small_disk(cache, 100)
    child = start("nomad", settings=SOURCE)
    said, _ = child.communicate(timeout=20)
    assert child.returncode == 3, said
    assert str(cache) in said
    assert re.search(r"has \d+ MB free, and \d+ MB are needed|has .* free, and .* are needed", said)
    assert "notailcar gc --all" in said


@pytest.mark.usefixtures("own_engine")
@pytest.mark.parametrize(("left", "what"), [(5, "headscale"), (130, "the image headscale")])
def test_a_disk_that_runs_full_in_the_midst_of_a_build_is_told(
    start: Start, cache: Path, small_disk: Callable[[Path, int], None], left: int, what: str
) -> None:
    small_disk(cache, 500)
    child = start("headscale", settings=SOURCE)
    await_line(child, "build headscale: github.com")
    # The program takes 52 MB, while it is linked twice; then its image is built from it.
    filler = cache / "filler"
    with filler.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, shutil.disk_usage(cache).free - left * 1_000_000)
    said, _ = child.communicate(timeout=300)
    assert child.returncode == 3, said
    assert f"the disk ran full while {what}" in said
    assert str(cache) in said
    assert "NOTAILCAR_CACHE" in said
    filler.unlink()
    again = start("headscale", settings=SOURCE)
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said


@pytest.mark.usefixtures("own_engine")
def test_a_warm_start_asks_nobody_and_is_quick(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    with Run() as run, find_engine(run, quiet) as engine:
        supply = Supply(engine, run, PlainProgress(said.append))
        made = supply.ensure(["headscale"])["headscale"]
        said.clear()
        begun = time.monotonic()
        assert supply.ensure(["headscale"])["headscale"] == made
        seconds = time.monotonic() - begun
    assert not said
    assert made.origin.startswith("source: github.com/juanfont/headscale v")
    assert made.stands_in_for == made.official == load_pins().go["headscale"].image
    with capsys.disabled():
        print(f" warm ensure() {seconds * 1000:.0f} ms", end="")
