"""A run is alive as long as a process holds its lock, and not a moment longer."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.run import places
from harness.run.run import CACHE_LABEL, RUN_LABEL, Run, dead_runs, is_alive, live_runs, new_id

HOLD = """
import sys
from harness.run.run import Run
with Run(*sys.argv[1:]) as run:
    print(run.id, flush=True)
    sys.stdin.read()
"""

Holder = subprocess.Popen[str]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NOTAILCAR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hold(cache: Path) -> Iterator[Callable[..., tuple[Holder, str]]]:
    """Start another process that owns a run until its input closes; give it and the run's id."""
    holders: list[Holder] = []

    def start(*run_id: str) -> tuple[Holder, str]:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, *run_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NOTAILCAR_CACHE": str(cache)},
        )
        holders.append(holder)
        assert holder.stdout is not None
        return holder, holder.stdout.readline().strip()

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()


def names(folders: list[Path]) -> list[str]:
    return [folder.name for folder in folders]


def test_alive_while_another_process_holds_it(hold: Callable[..., tuple[Holder, str]]) -> None:
    holder, run_id = hold()
    assert is_alive(run_id)
    assert (names(live_runs()), dead_runs()) == ([run_id], [])
    holder.communicate()
    assert not is_alive(run_id)
    assert (live_runs(), dead_runs()) == ([], [])
    assert not (places.runs() / run_id).exists()


def test_dead_after_sigkill_and_its_folder_tells_of_it(hold: Callable[..., tuple[Holder, str]]) -> None:
    holder, run_id = hold()
    (places.runs() / run_id / "scratch").write_text("left behind")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not is_alive(run_id)
    assert (live_runs(), names(dead_runs())) == ([], [run_id])


def test_one_that_dies_leaves_the_others_alive(hold: Callable[..., tuple[Holder, str]]) -> None:
    first, dead = hold()
    _, alive = hold()
    first.kill()
    first.wait()
    assert (names(live_runs()), names(dead_runs())) == ([alive], [dead])


def test_a_child_that_outlives_its_parent_keeps_the_run_alive(cache: Path) -> None:
    """`notailcar up` hands its lab to a child, and ends."""
    script = """
import os, sys
from harness.run.run import Run
run = Run("handed-over")
if os.fork() == 0:
    sys.stdin.read()
    run.close()
os._exit(0)
"""
    reading, writing = os.pipe()
    environment = {**os.environ, "NOTAILCAR_CACHE": str(cache)}
    subprocess.run([sys.executable, "-c", script], stdin=reading, env=environment, check=True)
    os.close(reading)
    assert is_alive("handed-over")
    lock = os.open(places.runs() / "handed-over" / "lock", os.O_RDWR)
    os.close(writing)
    fcntl.flock(lock, fcntl.LOCK_EX)  # given when the child has let go
    os.close(lock)
    assert not is_alive("handed-over")


def test_this_process_sees_its_own_run(cache: Path) -> None:
    with Run() as mine:
        assert mine.folder == cache / "runs" / mine.id
        assert is_alive(mine.id)
        assert live_runs() == [mine.folder]
    assert not mine.folder.exists()
    assert not is_alive(mine.id)


def test_a_run_that_nobody_ever_began_is_not_alive(cache: Path) -> None:
    assert not is_alive("20260101-000000-abcd")
    assert live_runs() == dead_runs() == []
    assert not cache.exists()


@pytest.mark.usefixtures("cache")
def test_the_lock_is_for_its_owner_alone() -> None:
    with Run() as mine:
        assert (mine.folder / "lock").stat().st_mode & 0o777 == 0o600
        assert mine.folder.stat().st_mode & 0o077 == 0


def test_what_is_being_born_is_nobodys_to_sweep(cache: Path) -> None:
    unborn = cache / "runs" / ".abc123"
    unborn.mkdir(parents=True)
    (unborn / "lock").touch()
    assert live_runs() == dead_runs() == []


@pytest.mark.usefixtures("cache")
def test_ids_are_their_own_and_sort_by_time() -> None:
    made = [new_id() for _ in range(50)]
    assert len(set(made)) == 50
    assert [i[:15] for i in made] == sorted(i[:15] for i in made)
    with Run("given-1") as given:
        assert given.id == "given-1"


def test_labels_say_whose_it_is(cache: Path) -> None:
    with Run() as mine:
        assert mine.labels == {RUN_LABEL: mine.id, CACHE_LABEL: str(cache)}


@pytest.mark.usefixtures("cache")
def test_an_error_in_the_block_lets_go_too() -> None:
    with pytest.raises(KeyError), Run() as mine:
        raise KeyError
    assert not mine.folder.exists()
