"""Mutants: known-bad variants of the examples, as small edits, each with the claims that must refute it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from harness.toml_file import converter
from tests.robustness.copies import Edit

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Mutant:
    """One of the files beside this one."""

    name: str
    what: str
    """What is wrong with it, in a sentence."""
    of: str
    """The example that it is an edit of."""
    refutes: tuple[str, ...]
    """The claims that must be refuted; no other that is made of it in the same run may be."""
    said: str
    """What the reason of one of them must hold."""
    edit: tuple[Edit, ...]
    besides: tuple[str, ...] = ()
    """Claims that may be refuted as well, or not."""


def read(file: Path) -> tuple[Mutant, ...]:
    """The mutants of a file."""
    found = tomllib.loads(file.read_text(encoding="utf-8"))["mutant"]
    return tuple(converter().structure(each, Mutant) for each in found)


FILES = {file.stem: read(file) for file in sorted(FOLDER.glob("*.toml"))}
MUTANTS = {mutant.name: mutant for mutants in FILES.values() for mutant in mutants}
