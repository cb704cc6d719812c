"""Where the tests find the real programs: those that the supply built, of exactly the pinned version."""

import importlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from harness.engine.install import install
from harness.run import places

REPOSITORY = Path(__file__).resolve().parents[2]
GUARD = REPOSITORY / "scripts/tailscale/egress-guard.sh"
SIDECAR = REPOSITORY / "scripts/tailscale/sidecar.sh"
SERVE = REPOSITORY / "scripts/tailscale/serve.sh"
TAILNET = REPOSITORY / "scripts/tailscale/tailnet.sh"
UPLINK = REPOSITORY / "scripts/tailscale/uplink.py"
HEALTH = REPOSITORY / "scripts/tailscale/health.py"
GATE = REPOSITORY / "scripts/tailscale/gate.py"
SHELLS = {"dash": ("dash",), "busybox": ("busybox", "ash")}

_PIN_OF = {"nomad": "nomad", "headscale": "headscale", "tailscale": "tailscale", "tailscaled": "tailscale"}


class ProgramMissingError(Exception):
    """A pinned program is nowhere to be found."""


def find(name: str) -> Path:
    """Find a program: in the folders of `NOTAILCAR_BINARIES` (colon separated), else in the supply's cache.

    Raises ProgramMissingError where no file of that name is of the version in fixtures/versions.toml.
    """
    pins = tomllib.loads((places.fixtures() / "versions.toml").read_text(encoding="utf-8"))
    version = pins["go"][_PIN_OF[name]]["version"]
    for candidate in _candidates(name):
        if os.access(candidate, os.X_OK) and _says(candidate, version):
            return candidate
    raise ProgramMissingError(
        f"{name} {version} is neither in NOTAILCAR_BINARIES nor in {places.cache() / 'binaries'}: "
        "run `notailcar prepare` first"
    )


def shell(name: str) -> list[str]:
    """The command of a shell, by absolute path, so that PATH may be anything.

    Root on Debian or Ubuntu gets a missing one installed. Raises LabError where that cannot be.
    """
    program, *rest = SHELLS[name]
    install(program, [program], print)
    found = shutil.which(program)
    if found is None:
        raise ProgramMissingError(f"{program} is not on PATH")
    return [found, *rest]


def script(name: str) -> ModuleType:
    """Import a script of scripts/tailscale, which finds its neighbours as it does in a task's folder."""
    folder = str(GATE.parent)
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


def busybox_alone(folder: Path) -> str:
    """Fill a folder with BusyBox alone and give it as a PATH: as in the Tailscale image, without curl."""
    busybox = shell("busybox")[0]
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        (folder / name).symlink_to(busybox)
    return str(folder)


def _candidates(name: str) -> Iterator[Path]:
    for folder in filter(None, os.environ.get("NOTAILCAR_BINARIES", "").split(":")):
        yield Path(folder) / name
    yield from sorted((places.cache() / "binaries").glob(f"*/**/{name}"))


def _says(program: Path, version: str) -> bool:
    flag = "--version" if program.name == "tailscaled" else "version"
    said = subprocess.run([program, flag], capture_output=True, text=True, check=False, timeout=20)
    return version in said.stdout
