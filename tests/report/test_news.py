"""Stages of one process that another shows."""

import io
import json
from pathlib import Path

from rich.console import Console

from harness.management.waiting import wait_until
from harness.report.news import Following, NewsFile
from harness.report.progress import Progress
from harness.report.terminal import console_on


def silent(file: Path) -> Progress:
    """The progress of a worker: it says nothing, and tells everything."""
    return Progress(Console(quiet=True), tell=NewsFile(file))


def test_what_a_worker_does_is_shown_and_timed(tmp_path: Path) -> None:
    stream = io.StringIO()
    shown = Progress(console_on(stream))
    with Following(shown, tmp_path, "stages-*.jsonl"):
        first, second = (silent(tmp_path / f"stages-gw{n}.jsonl") for n in range(2))
        with first.stage("node", "nomad is ready"), second.stage("exit-a", "joins"):
            second.note("an image is old")
    lines = [" ".join(line.split()[:-2]) for line in stream.getvalue().splitlines()]
    assert set(lines) == {"gw1: an image", "✓ exit-a gw1: joins", "✓ node gw0: nomad is ready"}
    assert [s.name for s in shown.stages] == ["node", "exit-a"]
    (node, _) = shown.stages
    (original,) = first.stages
    assert abs(node.seconds - original.seconds) < 0.001


def test_a_failure_is_shown_with_what_was_being_done(tmp_path: Path) -> None:
    stream = io.StringIO()
    shown = Progress(console_on(stream))
    with Following(shown, tmp_path, "stages-*.jsonl"):
        worker = silent(tmp_path / "stages-gw0.jsonl")
        stage = worker.begin("node", "nomad is ready")
        stage.update("waits for docker")
        worker.end(stage, "failed")
    assert "✗  node" in stream.getvalue()
    assert "failed while: gw0: waits for docker" in stream.getvalue()
    assert [s.failed for s in shown.stages] == [True]


def test_who_dies_in_the_middle_of_a_stage_is_said_to_have_stopped(tmp_path: Path) -> None:
    stream = io.StringIO()
    shown = Progress(console_on(stream))
    with Following(shown, tmp_path, "stages-*.jsonl"):
        silent(tmp_path / "stages-gw0.jsonl").begin("node", "nomad is ready")
    assert "gw0: nomad is ready: stopped" in stream.getvalue()
    assert [s.failed for s in shown.stages] == [True]


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    stream = io.StringIO()
    file = tmp_path / "stages-gw0.jsonl"
    line = json.dumps({"what": "noted", "at": 1.0, "stage": 0, "name": "", "text": "an image is old"})
    with Following(Progress(console_on(stream)), tmp_path, "stages-*.jsonl"):
        file.write_text(line + "\n" + line[:20], encoding="utf-8")
        wait_until(lambda: "is old" in stream.getvalue(), seconds=5, what="the first line is shown")
        with file.open("a", encoding="utf-8") as half:
            half.write(line[20:] + "\n")
    assert stream.getvalue() == "gw0: an image is old\n" * 2


def test_nothing_is_drawn_where_there_is_nothing_to_show(tmp_path: Path) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80)
    with Following(Progress(console), tmp_path, "stages-*.jsonl"):
        NewsFile(tmp_path / "stages-gw0.jsonl")
    assert not stream.getvalue()
