"""The wheel as a new user has it: in an environment and a folder of its own, far from the repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

from harness.run import places

REPOSITORY = Path(__file__).resolve().parents[2]
_SECONDS = 600.0


@dataclass(frozen=True)
class Fresh:
    """A folder outside of the repository, and an environment with the wheel."""

    folder: Path
    environment: Path

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script of a shell there, as a person who has activated the environment; streams in one."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "PYTHON", "NOTAILCAR_"))}
        return subprocess.run(
            ["sh", "-ec", script],
            cwd=self.folder,
            env={
                **kept,
                "PATH": f"{self.environment / 'bin'}:{kept['PATH']}",
                "NOTAILCAR_CACHE": str(places.cache()),
                **variables,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_SECONDS,
        )


def build(target: str, source: Path, folder: Path) -> Path:
    """Build a wheel or an sdist with the pinned hatchling of this environment; gives the file."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (made,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return made


def install(wheel: Path, folder: Path) -> Fresh:
    """Install a wheel without what it depends on, which is seen in the environment of these tests."""
    environment = folder / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    packages = next((environment / "lib").glob("python*")) / "site-packages"
    # The folder alone: what its own .pth files add, this repository among it, is not seen.
    (packages / "seen.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(environment / "bin/python"), "install"),
            *("--quiet", "--disable-pip-version-check", "--no-deps", "--ignore-installed", str(wheel)),
        ],
        check=True,
        capture_output=True,
    )
    for name in ("pytest",):
        script = environment / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{environment}/bin/python" -m {name} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    fresh = folder / "tickers"
    fresh.mkdir()
    return Fresh(fresh, environment)


def copy_example(name: str, jobs: Path) -> None:
    """Copy one example of the repository, with the scripts that it names, to below a folder of jobs."""
    shutil.copytree(REPOSITORY / "examples" / name, jobs / name)
    root = jobs.parent
    shutil.copytree(REPOSITORY / "scripts/tailscale", root / "scripts/tailscale", dirs_exist_ok=True)
