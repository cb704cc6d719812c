"""Patterns of a policy, for the names of examples and the ids of claims. Pure."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

_NOT = "!"
_WILD = frozenset("*?[")


def chosen(name: str, patterns: Sequence[str]) -> bool:
    """Whether patterns choose an example: one fits, and none that begins with an exclamation mark does."""
    taken = any(fnmatchcase(name, p) for p in patterns if not p.startswith(_NOT))
    return taken and not any(fnmatchcase(name, p[1:]) for p in patterns if p.startswith(_NOT))


def covers(claim: str, patterns: Sequence[str]) -> bool:
    """Whether patterns choose a claim; they are as those of examples, but fit part by part between dots.

    So `*.*` is every claim of the catalogue and none of a fault, and `egress.survives.*` every fault.
    """
    taken = any(_fits(claim, p) for p in patterns if not p.startswith(_NOT))
    return taken and not any(_fits(claim, p[1:]) for p in patterns if p.startswith(_NOT))


def literal(patterns: Sequence[str]) -> tuple[str, ...]:
    """The patterns that are names as they stand."""
    return tuple(p for p in patterns if not p.startswith(_NOT) and not _WILD & set(p))


def _fits(claim: str, pattern: str) -> bool:
    parts, wanted = claim.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
