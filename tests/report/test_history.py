"""The history of runs: a line a run, whatever tears it."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from harness.report import history
from harness.report.entries import ClaimEntry
from harness.report.record import Stage
from tests.report import sample
from tests.report.past import P, R, U, past


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    runs = (past(1), past(2, {"a": {"b.c": R}}, site="live", workers=2, unfinished=True))
    for one in runs:
        history.append(tmp_path / "deep" / history.FILE, one)
    assert history.read(tmp_path / "deep" / history.FILE) == runs


def test_without_a_file_there_is_no_history(tmp_path: Path) -> None:
    assert history.read(tmp_path / history.FILE) == ()


def test_what_is_kept_of_a_run() -> None:
    whole = sample.record()
    twice = (ClaimEntry("x", "a.b", R, ""), ClaimEntry("x", "a.b", P, ""), ClaimEntry("x", "a.c", U, ""))
    stages = (
        Stage("control", 1.0, "gw0: headscale"),
        Stage("control", 1.8, "gw1: headscale"),
        Stage("prepare", 2.0),
        Stage("node", 9.0, "gw0", failed=True),
    )
    kept = history.of(replace(whole, entries=twice, stages=stages, site="live"))
    assert kept.verdicts == {"x": {"a.b": R, "a.c": U}}
    assert kept.stages == {"control: headscale": 1.8, "prepare": 2.0}
    assert (kept.workers, kept.site, kept.outcome, kept.green) == (2, "live", R, False)


@pytest.mark.parametrize(
    ("one", "green"),
    [
        (past(1), True),
        (past(1, {}), False),
        (past(1, {"a": {"b.c": U}}), False),
        (past(1, unfinished=True), False),
    ],
)
def test_green_is_all_proven_and_finished(one: history.Past, green: bool) -> None:
    assert one.green is green


@pytest.mark.parametrize("cut", [1, 30, 100])
def test_a_torn_last_line_is_passed_over_and_nothing_is_appended_to_it(tmp_path: Path, cut: int) -> None:
    file = tmp_path / history.FILE
    for number in (1, 2):
        history.append(file, past(number))
    file.write_bytes(file.read_bytes()[:-cut])
    before = (past(1),) if cut > 1 else (past(1), past(2))
    assert history.read(file) == before
    history.append(file, past(3))
    assert history.read(file) == (*before, past(3))


@pytest.mark.parametrize(
    "line", ["", "[]", "null", "{}", '{"run": 1}', "\x00\xff", json.dumps({"run": "x", "verdicts": []})]
)
def test_lines_that_cannot_be_read_are_passed_over(tmp_path: Path, line: str) -> None:
    file = tmp_path / history.FILE
    history.append(file, past(1))
    with file.open("a", encoding="utf-8") as stream:
        stream.write(f"{line}\n")
    history.append(file, past(2))
    assert history.read(file) == (past(1), past(2))


def test_only_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT", 5)
    file = tmp_path / history.FILE
    for number in range(12):
        history.append(file, past(number))
    assert history.read(file) == tuple(past(number) for number in range(7, 12))
    assert file.stat().st_mode & 0o777 == 0o644


def test_runs_that_end_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / history.FILE
    threads = [threading.Thread(target=history.append, args=(file, past(n))) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.run for one in history.read(file)} == {f"run-{n}" for n in range(20)}


def test_one_that_is_killed_while_it_appends_loses_no_other(tmp_path: Path) -> None:
    file = tmp_path / history.FILE
    history.append(file, past(1))
    code = (
        "import sys, pathlib; from harness.report import history; from tests.report.past import past\n"
        "print('begun', flush=True)\n"
        "while True: history.append(pathlib.Path(sys.argv[1]), past(2))\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, str(file)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        while file.stat().st_size < 3000:
            assert process.poll() is None
            os.sched_yield()
        process.send_signal(signal.SIGKILL)
    found = history.read(file)
    assert found[0] == past(1)
    assert {one.run for one in found[1:]} == {"run-2"}
    history.append(file, past(3))
    assert history.read(file)[-1] == past(3)
