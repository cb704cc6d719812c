"""The own engine: shared, taken over, replaced when it is wedged, and gone when nobody holds it."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.engine import Engine, find_engine, own_engine_runs, stop_if_unused
from harness.engine.process import Process, with_argument
from harness.errors import LabError, UsageError
from harness.run.run import Run
from tests.engine.conftest import Holder

pytestmark = pytest.mark.lab
Hold = Callable[[], tuple[Holder, str]]


def quiet(_: str) -> None:
    pass


def dockerd(engine_url: str) -> Process:
    return next(with_argument(f"--host={engine_url}"))


def start_sleeper(engine: Engine) -> Process:
    """Start a container made of this machine's own `sleep` and the libraries that it needs."""
    sleep = shutil.which("sleep") or ""
    needed = subprocess.run(["ldd", sleep], capture_output=True, text=True, check=True).stdout
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", dereference=True) as archive:
        for file in (sleep, *(word for word in needed.split() if word.startswith("/"))):
            archive.add(file)
    client = engine.client()
    try:
        client.api.import_image_from_data(content.getvalue(), repository="sleeper", tag="1")
        container = client.containers.run("sleeper:1", [sleep, "1000"], network_mode="none", detach=True)
        container.reload()
        return Process.of(container.attrs["State"]["Pid"])
    finally:
        client.close()


def test_it_starts_for_the_first_and_ends_with_the_last(cache: Path, hold: Hold) -> None:
    holder, url = hold()
    with Run() as run, find_engine(run, quiet) as engine:
        assert engine.base_url == url
        assert engine.own
        assert engine.data_root == cache / "engine" / "data"
        holder.communicate()
        assert holder.returncode == 0
        client = engine.client()
        assert client.ping()
        client.close()
    assert not own_engine_runs()


@pytest.mark.usefixtures("cache")
def test_a_killed_runs_engine_is_taken_over(hold: Hold) -> None:
    holder, url = hold()
    engine_process = dockerd(url)
    holder.kill()
    holder.wait()
    with Run() as run, find_engine(run, quiet):
        assert dockerd(url) == engine_process
    assert not own_engine_runs()


@pytest.mark.usefixtures("cache")
def test_a_killed_runs_engine_is_swept_away_with_its_containers(hold: Hold) -> None:
    holder, url = hold()
    with Run() as run, find_engine(run, quiet) as engine:
        start_sleeper(engine)
        assert not stop_if_unused(quiet)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        leases = Path(url.removeprefix("unix://")).with_name("leases")
        assert len(list(leases.iterdir())) == 2
    assert not own_engine_runs()
    assert not stop_if_unused(quiet)


@pytest.mark.usefixtures("cache")
def test_containers_of_a_killed_engine_are_ended(hold: Hold) -> None:
    holder, url = hold()
    with Run() as run, find_engine(run, quiet) as engine:
        sleeper = start_sleeper(engine)
    process = dockerd(url)
    process.send(signal.SIGKILL)
    holder.kill()
    holder.wait()
    assert process.wait(5)
    assert sleeper.is_alive()
    assert stop_if_unused(quiet)
    assert not sleeper.is_alive()
    assert not own_engine_runs()


@pytest.mark.usefixtures("cache")
def test_a_wedged_engine_is_replaced_when_nobody_else_holds_it(hold: Hold) -> None:
    holder, url = hold()
    wedged = dockerd(url)
    wedged.send(signal.SIGSTOP)
    with (
        Run() as run,
        pytest.raises(LabError, match="does not answer, and 1 other run"),
        find_engine(run, quiet),
    ):
        pass
    holder.kill()
    holder.wait()
    said: list[str] = []
    with Run() as run, find_engine(run, said.append):
        assert dockerd(url) != wedged
        assert not wedged.is_alive()
    assert any("does not answer" in line for line in said)


@pytest.mark.usefixtures("cache")
def test_stale_files_do_not_hold_up_a_start(hold: Hold) -> None:
    holder, url = hold()
    holder.communicate()
    live = Path(url.removeprefix("unix://")).parent
    live.mkdir(parents=True)
    (live / "pid").write_text(str(os.getpid()))
    (live / "sock").touch()
    with Run() as run, find_engine(run, quiet) as engine:
        assert engine.base_url == url


def test_an_engine_that_cannot_start_says_why(cache: Path) -> None:
    cache.joinpath("engine").mkdir(parents=True)
    cache.joinpath("engine", "data").write_text("in the way")
    with Run() as run, pytest.raises(LabError, match="cannot be made"), find_engine(run, quiet):
        pass
    assert not own_engine_runs()


@pytest.mark.usefixtures("cache")
def test_an_unknown_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTAILCAR_ENGINE", "mine")
    with Run() as run, pytest.raises(UsageError, match="NOTAILCAR_ENGINE=mine"), find_engine(run, quiet):
        pass


def test_without_docker_and_without_root_the_way_out_is_named(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:2]:
        parent.chmod(parent.stat().st_mode | 0o011)
    # Imports first: nobody may not be able to read them where the checkout is.
    as_nobody = (
        "import os, sys, harness.supply.__main__ as supply; os.setgroups([]); os.setgid(65534); "
        "os.setuid(65534); sys.exit(supply.main([]))"
    )
    begun = time.monotonic()
    said = subprocess.run(
        [sys.executable, "-c", as_nobody],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "NOTAILCAR_CACHE": str(tmp_path / "cache"),
            "DOCKER_HOST": f"unix://{tmp_path}/none",
            "HOME": str(tmp_path),
            "NOTAILCAR_ENGINE": "",
        },
    )
    seconds = time.monotonic() - begun
    assert said.returncode == 3, said.stderr
    assert "an own engine needs root" in said.stderr
    assert "-> " in said.stderr
    assert seconds < 5
