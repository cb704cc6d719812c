"""What the tutorial says is done, in its order, by a person who has the wheel and nothing else."""

from pathlib import Path

import pytest
from mypy import api

from tests.docs.blocks import FRESH, blocks, files, missing
from tests.docs.places import REPOSITORY
from tests.package.wheel import build, install

TUTORIAL = REPOSITORY / "docs/tutorial.md"


@pytest.mark.lab
def test_the_tutorial_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "wheel").mkdir()
    fresh = install(build("wheel", REPOSITORY, tmp_path / "wheel"), tmp_path)
    given = files(TUTORIAL)
    for block in blocks(TUTORIAL):
        # A file is there when the first command after it is given.
        for line, path, text in given:
            if line < block.line and not (fresh.folder / path).exists():
                (fresh.folder / path).parent.mkdir(parents=True, exist_ok=True)
                (fresh.folder / path).write_text(text, encoding="utf-8")
        if block.place == FRESH:
            done = fresh.run(block.script)
            assert done.returncode == 0, f"{block}: exit code {done.returncode}\n{done.stdout}"
            lacking = missing(block.printed, done.stdout)
            assert not lacking, f"{block}: does not print {lacking!r}:\n{done.stdout}"


def test_its_scenario_is_written_as_ours_are(tmp_path: Path) -> None:
    """With the types that the fixtures have, which ship with the wheel."""
    (text,) = [text for _, path, text in files(TUTORIAL) if path.startswith("tests/")]
    file = tmp_path / "test_ticker.py"
    file.write_text(text, encoding="utf-8")
    said, complaint, code = api.run(["--strict", "--follow-imports=silent", str(file)])
    assert code == 0, said + complaint
