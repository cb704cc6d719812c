"""Which commit the folder is at that the command was given in."""

import shutil
import subprocess

DIRTY = "-dirty"
"""Ends a commit's name where files differ from it."""


def commit() -> str:
    """The commit's full name, marked as dirty where files that git knows differ; empty without one."""
    git = shutil.which("git")
    if git is None:
        return ""
    described = subprocess.run(
        [git, "describe", "--always", f"--dirty={DIRTY}", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() if described.returncode == 0 else ""
