"""Which engine a run uses."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.engine.children import which
from harness.engine.engine import Engine
from harness.engine.install import install, is_debian
from harness.engine.own import OwnEngine
from harness.engine.users import Silence, users_engine
from harness.errors import LabError, UsageError
from harness.run.run import Run

SETTING = "NOTAILCAR_ENGINE"


@contextmanager
def find_engine(run: Run, announce: Callable[[str], None]) -> Iterator[Engine]:
    """Give the user's Docker if it answers, else an own engine that is ended when nobody uses it any more.

    Args:
        run: who asks; the own engine lives as long as one run holds it.
        announce: told what takes time: an installation, a start, waiting for another run.

    Raises:
        UsageError: NOTAILCAR_ENGINE has an unknown value.
        LabError: there is no engine, and none can be started; says what to do.
    """
    own = own_engine_wanted()
    silence = Silence("", f"{SETTING}=own")
    if not own:
        answer = users_engine()
        if isinstance(answer, Engine):
            yield answer
            return
        silence = answer
    if obstacle := own_engine_obstacle(silence):
        raise obstacle
    if not which("dockerd"):
        install("dockerd", ["docker.io"], announce)
        # Where systemd runs, the package has started the machine's own engine.
        if not own and Path("/run/systemd/system").is_dir() and isinstance(answer := users_engine(), Engine):
            yield answer
            return
    with OwnEngine(run, announce) as engine:
        yield engine


def own_engine_wanted() -> bool:
    """Whether the user's Docker is not to be used.

    Raises:
        UsageError: the setting has an unknown value.
    """
    value = os.environ.get(SETTING, "")
    if value not in {"", "own"}:
        remedy = f"set {SETTING}=own, or leave it empty to use your Docker"
        raise UsageError(f"{SETTING}={value} is unknown", remedy=remedy)
    return value == "own"


def own_engine_obstacle(silence: Silence) -> LabError | None:
    """What keeps this machine from an engine of the harness's own, if anything does.

    Args:
        silence: why the user's Docker is not used.
    """
    looked = f"no Docker answers at {silence.where} ({silence.reason})" if silence.where else silence.reason
    if os.geteuid() != 0:
        remedy = "start Docker, or set DOCKER_HOST, or run as root on Debian or Ubuntu to use an own engine"
        if silence.reason == "permission denied":
            remedy = "add yourself to the group docker (and log in again), or run as root"
        return LabError(f"{looked}, and an own engine needs root", remedy=remedy)
    if not which("dockerd") and not is_debian():
        return LabError(
            f"{looked}, dockerd is not installed, and this is neither Debian nor Ubuntu",
            remedy="install Docker 20.10 or newer and start it, or set DOCKER_HOST",
        )
    return None
