"""The gate's policy: what a run must have proven to be enough."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness import toml_file

EVERY_CLAIM = ("*.*",)
"""All claims of the catalogue that are made of an example; those of faults have a part more."""
EVERY_EXAMPLE = ("*",)
DEFAULT_FOLDER = "examples"
_UNITS = {"m": ("minute", 60), "h": ("hour", 3600), "d": ("day", 86400)}
_AGE = re.compile(r"([1-9]\d{0,4})([mhd])")


class Commit(StrEnum):
    """Which commit a run may be of."""

    CHECKED_OUT = "checked-out"
    """The one that is checked out, neither edited when it was run nor now."""
    ANY = "any"


class Site(StrEnum):
    """Where a run may have been."""

    LAB = "lab"
    LIVE = "live"


@dataclass(frozen=True)
class Age:
    """How old a run may be."""

    seconds: int
    words: str
    """As a person says it: `24 hours`."""


@dataclass(frozen=True)
class Require:
    """`[[require]]`: these claims must be proven for these examples, wherever they are made of them."""

    claims: tuple[str, ...] = EVERY_CLAIM
    examples: tuple[str, ...] = EVERY_EXAMPLE


@dataclass(frozen=True)
class Allow:
    """`[[allow]]`: at this site these claims may be unproven for these examples. Never refuted."""

    claims: tuple[str, ...]
    site: Site
    reason: str
    """Why that is acceptable; it is printed whenever it is made use of."""
    examples: tuple[str, ...] = EVERY_EXAMPLE


def age(text: object) -> Age:
    """Read an age such as `90m`, `24h` or `7d`. Raises ValueError."""
    found = _AGE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f'{text!r} is no age: write "90m", "24h" or "7d"')
    number = int(found[1])
    name, seconds = _UNITS[found[2]]
    return Age(number * seconds, f"{number} {name}{'' if number == 1 else 's'}")


@dataclass(frozen=True)
class Policy:
    """What a run must have proven. Without a file: every claim of every example, today, of this commit."""

    max_age: Age = field(default_factory=lambda: age("24h"))
    commit: Commit = Commit.CHECKED_OUT
    folder: str | None = None
    """The folder whose examples there must be, relative to the policy's file. None: `examples` in the current
    folder where that is there, else those that the run says it had."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of run.json: exact, or with an asterisk: `1.11.*`."""
    require: tuple[Require, ...] = (Require(),)
    allow: tuple[Allow, ...] = ()


def _converter() -> Any:  # noqa: ANN401 - cattrs' own
    made = toml_file.converter()
    made.register_structure_hook(Age, lambda value, _: age(value))
    return made


_CONVERTER = _converter()


def read(file: Path) -> Policy:
    """Read a policy. Raises UsageError naming the file, and each wrong key with its line."""
    return toml_file.load(
        file,
        Policy,
        _CONVERTER,
        called="policy",
        remedy="gates/release.toml has every key, each with a comment",
    )


def folder_of(policy: Policy, file: Path | None) -> Path | None:
    """The folder of examples that a policy means, given in `file` if it is not the built-in one."""
    if policy.folder is not None:
        return (file.parent if file else Path()) / policy.folder
    default = Path(DEFAULT_FOLDER)
    return default if default.is_dir() else None
