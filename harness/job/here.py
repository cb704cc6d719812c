"""Renders a job on this machine by a nomad command: one of the lab's version, or the user's own."""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from harness.errors import UsageError
from harness.job.example import Example
from harness.job.rendering import Rendered, command, rendered_by, root_of
from harness.management.command import CommandResult
from harness.run import go_programs

_NOBODY = "http://127.0.0.1:1"
"""No agent is asked, whatever cluster the caller's shell is set up for."""
_SECONDS = 60


def render_here(
    example: Example, nomad: Path, values: Mapping[str, str], images: Mapping[str, str] | None = None
) -> Rendered:
    """Render a job as a user would, from the folder that its `file()` paths start at.

    Args:
        example: the job.
        nomad: the nomad command.
        values: what the placeholders of [vars] stand for.
        images: those that the job names by default, to those that it is to run instead.

    Raises:
        UsageError: Nomad cannot read the job, with Nomad's own words: file, line and column.
    """
    root = root_of(example)
    argv = (str(nomad), *command(example, root, values, images)[1:])
    began = time.monotonic()
    try:
        done = subprocess.run(
            argv,
            cwd=root,
            env={
                **go_programs.SPARED,
                "PATH": os.environ.get("PATH", ""),
                "NOMAD_ADDR": _NOBODY,
                "NOMAD_CLI_SHOW_HINTS": "0",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{example.job_file}: Nomad did not read this job within {_SECONDS} s") from error
    taken = time.monotonic() - began
    return rendered_by(
        example, root, CommandResult("here", argv, done.returncode, done.stdout, done.stderr, taken), images
    )
