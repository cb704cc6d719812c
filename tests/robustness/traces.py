"""What a run has on a machine, and what is left of it: in the engine, as processes, as files."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient
from docker.errors import DockerException
from requests.exceptions import RequestException

from harness.engine import Engine
from harness.engine.process import Process, with_argument
from harness.management.waiting import wait_until
from harness.run import places
from harness.run.run import RUN_LABEL
from tests.robustness.commands import MARK, Command

_PROC = Path("/proc")
_EVENT_SECONDS = 60
_ENGINE_SECONDS = 20


@dataclass(frozen=True)
class Traces:
    """Everything of one run that was found at one moment."""

    containers: frozenset[str]
    """Their ids, listed by the engine or found in its folder."""
    volumes: frozenset[str]
    processes: frozenset[tuple[Process, str]]
    """In its containers and in the containers within them, the engine's shims, and on the machine itself."""
    files: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.containers or self.volumes or self.processes or self.files)


def look(engine: Engine, run: str, mark: str = "", before: Traces | None = None) -> Traces:
    """Look for all that a run has.

    Args:
        engine: where its lab is; it may have ended since.
        run: the run's id.
        mark: what its local processes carry in their environment.
        before: an earlier look, whose processes are looked for by identity too.
    """
    known = before.containers if before else frozenset()
    containers, volumes = _listed(engine, run)
    if engine.data_root:
        # Also where the engine has ended: what stands there is back at its next start.
        containers |= _kept(engine.data_root / "containers", run)
        volumes |= {p.name for p in (engine.data_root / "volumes").glob(f"*{run}*")}
    processes = set(_processes(known | containers, mark))
    if before:
        processes |= {(p, command) for p, command in before.processes if p.is_alive()}
    return Traces(
        frozenset(containers), frozenset(volumes), frozenset(processes), frozenset(_files(engine, run))
    )


def holds(mark: str, file: Path) -> bool:
    """Whether a process with this mark has a file open."""
    for process, _ in _processes(set(), mark):
        for handle in (_PROC / str(process.pid) / "fd").iterdir():
            with suppress(OSError):
                if handle.readlink() == file:
                    return True
    return False


def started_at(engine: Engine, run: str) -> dict[str, tuple[str, int]]:
    """Since when, and as which process, each container of a run runs."""
    client = engine.client()
    try:
        found = client.containers.list(filters={"label": f"{RUN_LABEL}={run}"})
        states = {str(c.name): c.attrs["State"] for c in found}
        return {name: (state["StartedAt"], state["Pid"]) for name, state in states.items()}
    finally:
        client.close()


def await_event(engine: Engine, command: Command, action: str) -> None:
    """Wait until the engine tells that a container of a run did something: start, die, destroy."""
    client = engine.client()
    try:
        label = f"{RUN_LABEL}={command.run}"
        wanted = {"event": action, "type": "container", "label": label}
        # The run may be at starting the engine.
        wait_until(
            lambda: command.still_runs() and client.ping(),
            seconds=_EVENT_SECONDS,
            what="the engine answers",
            transient=(RequestException, DockerException),
            tail=lambda: command.output,
        )
        since = int(command.began) - 1
        happened = client.events(
            since=since, until=int(time.time()) + _EVENT_SECONDS, decode=True, filters=wanted
        )
        assert next(iter(happened), None), f"no container had a {action} event:\n{command.output}"
    finally:
        client.close()


def _listed(engine: Engine, run: str) -> tuple[set[str], set[str]]:
    """What the engine lists; an own engine that only just starts, or just ends, is waited for."""
    return wait_until(
        lambda: _listed_now(engine, run),
        seconds=_ENGINE_SECONDS,
        what="the engine answers, or is gone",
        transient=(DockerException, RequestException),
    )


def _listed_now(engine: Engine, run: str) -> tuple[set[str], set[str]]:
    if engine.own and not any(True for _ in with_argument(f"--host={engine.base_url}")):
        return set(), set()
    client: DockerClient = engine.client()
    try:
        label = f"{RUN_LABEL}={run}"
        containers = client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
        volumes = client.volumes.list(filters={"label": label})
        return {str(c.id) for c in containers}, {str(v.name) for v in volumes}
    finally:
        client.close()


def _kept(folder: Path, run: str) -> set[str]:
    found = set()
    for description in folder.glob("*/config.v2.json"):
        try:
            if json.loads(description.read_text())["Config"]["Labels"].get(RUN_LABEL) == run:
                found.add(description.parent.name)
        except (OSError, ValueError):
            # Another run's, removed or written while we read.
            continue
    return found


def _processes(containers: frozenset[str] | set[str], mark: str) -> Iterator[tuple[Process, str]]:
    for folder in _PROC.iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            group = (folder / "cgroup").read_text()
            environment = (folder / "environ").read_bytes()
            if any(c in group or c in command for c in containers) or (
                mark and f"{MARK}={mark}".encode() in environment.split(b"\0")
            ):
                yield Process.of(int(folder.name)), command
        except (OSError, ProcessLookupError):
            continue


def _files(engine: Engine, run: str) -> Iterator[str]:
    folders = [places.runs(), places.cache()]
    if engine.own:
        folders.append(Path(engine.base_url.removeprefix("unix://")).with_name("leases"))
    for folder in folders:
        if folder.is_dir():
            yield from (str(path) for path in folder.glob(f"*{run}*"))
