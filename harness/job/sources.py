"""The files that an example is made of: its promises, its job, and all that the job reads."""

import hashlib
from pathlib import Path

from harness.job.example import Example
from harness.job.rendering import needed_files, root_of


def digests(example: Example) -> dict[str, str]:
    """The SHA-256 of each file, by its path below the folder that the job is run from.

    Raises:
        UsageError: the job names a file that is not there.
        OSError: a file cannot be read.
    """
    root = root_of(example)
    files = (example.smoke_file, *needed_files(example, root))
    return {file.relative_to(root).as_posix(): _digest(file) for file in files}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
