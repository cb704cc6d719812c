"""What `python -m tests.faults` lays out is what the document's table measures."""

import subprocess
import sys
from pathlib import Path

from harness.job import example
from tests.faults.patterns import PLAIN, TIGHT
from tests.robustness.commands import REPOSITORY


def lay_out(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.faults", *arguments],
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
        text=True,
    )


def test_the_patterns_are_laid_out_as_examples_again_and_again(tmp_path: Path) -> None:
    for _ in range(2):
        done = lay_out(str(tmp_path / "patterns"))
        assert done.returncode == 0, done.stderr
    found = example.find(tmp_path / "patterns" / "examples")
    assert {e.name for e in found} == {*TIGHT, PLAIN.name}


def test_a_folder_that_holds_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious", encoding="utf-8")
    done = lay_out(str(tmp_path))
    assert done.returncode == 2
    assert f"{tmp_path} holds mine: name a new folder" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_the_repository_is_no_such_folder() -> None:
    assert lay_out(str(REPOSITORY)).returncode == 2
