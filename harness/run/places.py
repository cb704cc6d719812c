"""Where things are on the machine: each folder named once."""

import os
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[2]
_PACKAGED = Path(__file__).resolve().parents[1] / "_data"


def data(name: str) -> Path:
    """A folder of data that ships with the harness, such as `fixtures`: from the checkout, else the wheel."""
    return (_REPOSITORY if is_checkout() else _PACKAGED) / name


def is_checkout() -> bool:
    """Whether this is the repository itself, and not what was installed from a wheel."""
    return (_REPOSITORY / "pyproject.toml").is_file()


def fixtures() -> Path:
    """What the lab is made of, as data."""
    return data("fixtures")


def cache() -> Path:
    """What is paid for once and kept: binaries, base systems, the own engine's images, the lab's CA.

    `NOTAILCAR_CACHE` moves it; else `$XDG_CACHE_HOME/notailcar`, else `~/.cache/notailcar`.
    """
    if named := os.environ.get("NOTAILCAR_CACHE"):
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "notailcar"


def runs() -> Path:
    """A folder a live run: its lock, its scratch files. What is here and not locked belongs to the dead."""
    return cache() / "runs"


def reports() -> Path:
    """What a run leaves for people: `reports/` below the folder in which the command was given."""
    return Path(os.environ.get("NOTAILCAR_REPORTS") or "reports").absolute()
