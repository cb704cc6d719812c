"""Copies of examples/egress-worker, each with a few edits that are made or the test fails."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.robustness.commands import REPOSITORY

_SEED = REPOSITORY / "examples" / "egress-worker"


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


def copy(root: Path, name: str, *edits: Edit) -> Path:
    """Copy the example below `root`/examples, with the scripts that it names beside it; give its folder."""
    folder = root / "examples" / name
    shutil.copytree(_SEED, folder)
    if not (root / "scripts").exists():
        shutil.copytree(REPOSITORY / "scripts" / "tailscale", root / "scripts" / "tailscale")
    for edit in edits:
        edit.make(folder)
    if name != _SEED.name:
        Edit(
            "egress-worker.nomad.hcl",
            f'file("examples/{_SEED.name}/worker.py")',
            f'file("examples/{name}/worker.py")',
        ).make(folder)
    return folder
