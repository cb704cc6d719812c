"""dockerd from the distribution, where it is missing."""

import os
from collections.abc import Callable
from pathlib import Path

from harness.engine.children import Children, CommandError, which
from harness.errors import LabError

_STEPS = ("Get:", "Unpacking ", "Setting up ")
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
_WAIT_FOR_LOCK = "DPkg::Lock::Timeout=120"


def is_debian() -> bool:
    """Whether this is Debian, Ubuntu or one of their descendants."""
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    names = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    return "debian" in names or "ubuntu" in names


def install(command: str, packages: list[str], announce: Callable[[str], None]) -> None:
    """See to it that a command is there, from the distribution's packages.

    Args:
        command: what must be found afterwards.
        packages: what brings it.
        announce: told each step.

    Raises:
        LabError: it is missing and cannot be installed; says what to do.
    """
    if which(command):
        return
    names = " ".join(packages)
    if os.geteuid() != 0 or not is_debian() or not which("apt-get"):
        raise LabError(
            f"{command} is missing, and can be installed by itself only as root on Debian or Ubuntu",
            remedy=f"install {names}, or run as root",
        )
    announce(f"{command} is missing: installing {names} with apt-get")

    def tell(line: str) -> None:
        if line.startswith(_STEPS):
            announce(f"apt-get: {line[:90]}")

    try:
        with Children() as children:
            children.run(["apt-get", "-o", _WAIT_FOR_LOCK, "update"], env=_QUIET, on_line=tell)
            children.run(
                ["apt-get", "-o", _WAIT_FOR_LOCK, "install", "-y", "--no-install-recommends", *packages],
                env=_QUIET,
                on_line=tell,
            )
    except CommandError as error:
        raise LabError(
            f"{names} could not be installed: {error.problem}",
            log=error.log,
            remedy=f"run `apt-get install {names}` and see what it says",
        ) from error
    if not which(command):
        raise LabError(f"{names} was installed, but {command} is still not there")
