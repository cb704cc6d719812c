"""Digests of a run's files: whether they are still what the run wrote.

A digest shows an edit, a mix of two runs, and a file that is cut short. It is no signature: who may write the
files may also write their digests anew.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SEAL = "seal"
"""The key of run.json under which the digest of all else in it stands."""


def digest(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digests(files: Iterable[Path], below: Path) -> dict[str, str]:
    """The digests of files by their paths below a folder, in the order of those paths. Raises OSError."""
    named = {file.relative_to(below).as_posix(): file for file in files}
    return {name: digest(named[name]) for name in sorted(named)}


def seal_of(data: Mapping[str, Any]) -> str:
    """The digest of what a JSON object says but for its seal; blanks and the order of keys say nothing."""
    said = {key: value for key, value in data.items() if key != SEAL}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same object with its seal."""
    return {**data, SEAL: seal_of(data)}


def holds(data: Mapping[str, Any]) -> bool:
    """Whether an object has a seal, and it is that of what the object says."""
    return data.get(SEAL) == seal_of(data)
