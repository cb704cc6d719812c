"""Removes what dead runs left in an engine: what has the label of a run that nobody holds."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

import docker.errors
from docker import DockerClient

from harness.run import places
from harness.run.run import CACHE_LABEL, RUN_LABEL, dead_runs, is_alive


@dataclass(frozen=True)
class Swept:
    """What was removed, by name."""

    containers: tuple[str, ...]
    volumes: tuple[str, ...]
    folders: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.containers or self.volumes or self.folders)

    def describe(self) -> str:
        """One line for the terminal."""
        return (
            f"removed what dead runs had left: {len(self.containers)} containers, "
            f"{len(self.volumes)} volumes, {len(self.folders)} folders"
        )


def sweep(engine: DockerClient) -> Swept:
    """Remove every object of this cache's dead runs, and of no live one."""
    ours: dict[str, str | list[str] | bool] = {"label": [RUN_LABEL, f"{CACHE_LABEL}={places.cache()}"]}
    containers, volumes, folders = [], [], []
    for container in engine.containers.list(all=True, filters=ours, ignore_removed=True):
        if not is_alive(container.labels[RUN_LABEL]) and _removed(
            partial(container.remove, force=True, v=True)
        ):
            containers.append(str(container.name))
    for volume in engine.volumes.list(filters=ours):
        if not is_alive(volume.attrs["Labels"][RUN_LABEL]) and _removed(partial(volume.remove, force=True)):
            volumes.append(volume.name)
    for folder in dead_runs():
        shutil.rmtree(folder, ignore_errors=True)
        folders.append(folder.name)
    return Swept(tuple(containers), tuple(volumes), tuple(folders))


def _removed(remove: Callable[[], None]) -> bool:
    """Whether it was removed by this run: another that begins in the same moment sweeps the same."""
    try:
        remove()
    except docker.errors.NotFound:
        return False
    except docker.errors.APIError as error:
        if error.status_code != HTTPStatus.CONFLICT:
            raise
        return False
    return True
