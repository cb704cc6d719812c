"""Copies of an example, each with a few edits that are made or the test fails."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.robustness.commands import REPOSITORY

WORKER = REPOSITORY / "examples" / "egress-worker"
JOB = "job"
"""The file of an edit to the job itself, whatever that is called."""
SCRIPTS = Path("scripts", "tailscale")
_FILE_CALL = re.compile(r'\bfile\("([^"]+)"\)')


@dataclass(frozen=True)
class Edit:
    """One change of one file: a text that is there once, and what stands in its place."""

    file: str
    """Below the example's folder; `job`; or one of scripts/tailscale, of which the copy gets its own."""
    old: str
    new: str

    def make(self, file: Path) -> None:
        """Change the file."""
        text = file.read_text(encoding="utf-8")
        assert text.count(self.old) == 1, f"{self.file} holds {self.old!r} {text.count(self.old)} times"
        file.write_text(text.replace(self.old, self.new), encoding="utf-8")


def copy(root: Path, name: str, *edits: Edit, of: Path = WORKER) -> Path:
    """Copy an example below `root`/examples, with the scripts that it names beside it; give its folder."""
    folder = root / "examples" / name
    shutil.copytree(of, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    job = folder / f"{of.name}.nomad.hcl"
    own = f"examples/{of.name}/"
    for named in _FILE_CALL.findall(job.read_text(encoding="utf-8")):
        if not named.startswith(own) and not (root / named).exists():
            (root / named).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / named, root / named)
    for edit in edits:
        file = job if edit.file == JOB else folder / edit.file
        if Path(edit.file).parent == SCRIPTS:
            file = folder / Path(edit.file).name
            if not file.exists():
                shutil.copy(root / edit.file, file)
                _lead(job, edit.file, f"{own}{file.name}")
        edit.make(file)
    if f'file("{own}' in job.read_text(encoding="utf-8"):
        _lead(job, own, f"examples/{name}/")
    return folder


def _lead(job: Path, old: str, new: str) -> None:
    """Let the job's file() calls that begin with one path begin with another."""
    text = job.read_text(encoding="utf-8")
    assert f'file("{old}' in text, f"{job} names no file at {old}"
    job.write_text(text.replace(f'file("{old}', f'file("{new}'), encoding="utf-8")
