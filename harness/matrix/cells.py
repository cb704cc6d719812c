"""Which cells a version matrix has. Pure: from pins and wishes to a list."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from harness.supply.pins import MOVABLE, Pins

DEFAULT = "default"
"""The name of the cell in which every program is of its default version."""


@dataclass(frozen=True)
class Cell:
    """One combination of versions."""

    name: str
    """What is not the default in it, fit for a folder: nomad-1.10.5, or `default`."""
    versions: Mapping[str, str]
    """Of every program that has a choice."""
    changed: tuple[str, ...]
    """The programs that are not of their default version."""

    @property
    def option(self) -> str:
        """What --versions is given for it."""
        return ",".join(f"{name}={version}" for name, version in self.versions.items())


def cells(pins: Pins, wishes: Mapping[str, tuple[str, ...]], *, product: bool = False) -> tuple[Cell, ...]:
    """Give the cells to run, the default one first.

    Args:
        pins: the pinned versions.
        wishes: versions by program; a program without any stays at its default, unless nothing is wished at
            all: then it is every version that is pinned.
        product: every combination, instead of each further version alone against the defaults.

    Raises:
        UsageError: a version has no pin.
    """
    wished = {name: tuple(dict.fromkeys(versions)) for name, versions in wishes.items() if versions}
    for name, versions in wished.items():
        for version in versions:
            pins.chosen({name: version})
    usual = {name: pins.choices[name][0].version for name in MOVABLE}
    if product:
        columns = [wished.get(name) or _unwished(pins, name, wished) for name in MOVABLE]
        combined = [dict(zip(MOVABLE, each, strict=True)) for each in itertools.product(*columns)]
    else:
        every = wished or {name: _unwished(pins, name, wished) for name in MOVABLE}
        alone = [{**usual, name: version} for name, versions in every.items() for version in versions]
        combined = list({tuple(each.values()): each for each in alone}.values())
    return tuple(sorted((_cell(each, usual) for each in combined), key=lambda cell: len(cell.changed)))


def _unwished(pins: Pins, name: str, wished: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    pinned = tuple(pin.version for pin in pins.choices[name])
    return pinned[:1] if wished else pinned


def _cell(versions: Mapping[str, str], usual: Mapping[str, str]) -> Cell:
    changed = tuple(name for name in MOVABLE if versions[name] != usual[name])
    named = "_".join(f"{name}-{versions[name]}" for name in changed) or DEFAULT
    return Cell(named, {name: versions[name] for name in MOVABLE}, changed)
