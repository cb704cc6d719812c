"""Copies of an example, each with a few edits that are made or the test fails."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.robustness.commands import REPOSITORY

WORKER = REPOSITORY / "examples" / "egress-worker"
SERVICE = REPOSITORY / "examples" / "private-http-service"


@dataclass(frozen=True)
class Edit:
    """One change of one file: a text that is there once, and what stands in its place."""

    file: str
    old: str
    new: str

    def make(self, folder: Path) -> None:
        """Change the file below a folder."""
        text = (folder / self.file).read_text(encoding="utf-8")
        assert text.count(self.old) == 1, f"{self.file} holds {self.old!r} {text.count(self.old)} times"
        (folder / self.file).write_text(text.replace(self.old, self.new), encoding="utf-8")


def copy(root: Path, name: str, *edits: Edit, of: Path = WORKER) -> Path:
    """Copy an example below `root`/examples, with the scripts that it names beside it; give its folder."""
    folder = root / "examples" / name
    shutil.copytree(of, folder, ignore=shutil.ignore_patterns("__pycache__"))
    if not (root / "scripts").exists():
        shutil.copytree(REPOSITORY / "scripts" / "tailscale", root / "scripts" / "tailscale")
    for edit in edits:
        edit.make(folder)
    job = folder / f"{of.name}.nomad.hcl"
    own = f'file("examples/{of.name}/'
    text = job.read_text(encoding="utf-8")
    assert own in text, f"{job} names no file of its own"
    job.write_text(text.replace(own, f'file("examples/{name}/'), encoding="utf-8")
    return folder
