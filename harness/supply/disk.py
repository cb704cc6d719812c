"""Room on the disk: asked for before work begins, and named when it runs out in the midst of it."""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import LabError

MB = 1_000_000
FULL = "no space left on device"
"""How everything that we start says so, in whatever case."""

IMAGE_NEEDS = {
    "debian": 110 * MB,
    "base": 30 * MB,
    "router": 70 * MB,
    "host": 50 * MB,
    "control": 60 * MB,
    "second-control": 20 * MB,
    "acme": 20 * MB,
    "member": 60 * MB,
    "browser": 750 * MB,
    "node": 500 * MB,
    "nomad": 250 * MB,
    "tailscale": 120 * MB,
    "headscale": 120 * MB,
    "labcontrol": 20 * MB,
    "pebble": 20 * MB,
    "golang": 900 * MB,
    "consul": 300 * MB,
    "python": 200 * MB,
    "redis": 200 * MB,
    "example-tailscale": 10 * MB,
    "example-python": 10 * MB,
    "example-redis": 10 * MB,
    "guard": 60 * MB,
    "example-guard": 10 * MB,
    "observer": 10 * MB,
}
"""What each image takes in the engine's folder, beside what it is made from; measured, rounded up."""
BINARIES_NEEDS = {
    "nomad": 250 * MB,
    "tailscale": 120 * MB,
    "headscale": 120 * MB,
    "labcontrol": 30 * MB,
    "pebble": 30 * MB,
    "consul": 300 * MB,
}
"""What building takes in the cache: the programs, twice, since they are built beside where they end."""
GO_NEEDS = {
    "nomad": 4_800 * MB,
    "tailscale": 1_800 * MB,
    "headscale": 2_200 * MB,
    "labcontrol": 900 * MB,
    "pebble": 300 * MB,
    "consul": 4_000 * MB,
}
"""What a build from nothing takes in Go's own caches."""
DEBOOTSTRAP_NEEDS = 450 * MB
"""A base system unpacked, with its packages, and the archive made from it."""


@dataclass(frozen=True)
class Need:
    """Room that is needed in one folder."""

    folder: Path
    what: str
    size: int
    """Bytes."""


def check_room(needs: Iterable[Need]) -> None:
    """Hold what is needed against what is free, file system by file system.

    Raises:
        LabError: one has too little; names the folder, what it has and what it needs.
    """
    by_device: dict[int, list[Need]] = defaultdict(list)
    for need in needs:
        by_device[_existing(need.folder).stat().st_dev].append(need)
    for together in by_device.values():
        wanted = sum(need.size for need in together)
        largest = max(together, key=lambda need: need.size)
        free = free_bytes(largest.folder)
        if free < wanted:
            what = ", ".join(sorted({need.what for need in together}))
            raise LabError(
                f"{largest.folder} has {_gb(free)} free, and {_gb(wanted)} are needed for {what}",
                remedy=_remedy(),
            )


def free_bytes(folder: Path) -> int:
    """What is free where a folder is, or would be."""
    return shutil.disk_usage(_existing(folder)).free


def disk_full(folder: Path, what: str, log: str = "") -> LabError:
    """The error for a disk that ran full while something was made."""
    return LabError(
        f"the disk ran full while {what} was made: {folder} has {_gb(free_bytes(folder))} free",
        remedy=_remedy(),
        log=log,
    )


def is_full(text: str) -> bool:
    """Whether a message says that a disk is full."""
    return FULL in text.lower() or os.strerror(28).lower() in text.lower()


def size_of(folder: Path) -> int:
    """Bytes in all the files below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(path) / name).lstat().st_blocks * 512
            except OSError:
                continue
    return total


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 100 * MB else f"{size / 1e6:.0f} MB"


def _remedy() -> str:
    return "free some room, run `notailcar gc --all`, or set NOTAILCAR_CACHE to a folder on a larger disk"
