"""Hosts that run together: booted side by side, removed side by side, whatever went wrong in between."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import docker.errors
from docker import DockerClient

from harness.engine.engine import Engine
from harness.errors import LabError
from harness.lab.running_host import HostPlan, RunningHost
from harness.run.run import Run

# Containers are started a few at a time: side by side, all of them would be there late.
_STARTS_AT_ONCE = 4


@dataclass(frozen=True)
class Boot:
    """The threads of one boot."""

    starts: ThreadPoolExecutor
    """For what starts a container: few at a time, in the order in which they are submitted."""
    work: ThreadPoolExecutor
    """For what waits for hosts that were started: as many at a time as there are."""


class Hosts:
    """Owns hosts and their volumes. The one that was started first, the router, is removed last.

    Attributes:
        by_name: every host that there is.
    """

    def __init__(self, client: DockerClient, engine: Engine, run: Run) -> None:
        """Start nothing yet.

        Args:
            client: the engine's client.
            engine: the engine.
            run: the run that owns them.
        """
        self.by_name: dict[str, RunningHost] = {}
        self._client = client
        self._engine = engine
        self._run = run
        self._volumes: list[str] = []
        self._given_up = threading.Event()

    @contextmanager
    def boot(self, threads: int) -> Iterator[Boot]:
        """Boot by threads in the block; when it fails, all of them end and every host is removed.

        Args:
            threads: for how many pieces of work side by side.
        """
        with (
            ThreadPoolExecutor(threads, thread_name_prefix="boot") as work,
            ThreadPoolExecutor(_STARTS_AT_ONCE, thread_name_prefix="start") as starts,
        ):
            try:
                yield Boot(starts, work)
            except BaseException:
                self._given_up.set()
                starts.shutdown(wait=False, cancel_futures=True)
                work.shutdown(wait=False, cancel_futures=True)
                # What the other threads still wait for in hosts ends with the hosts.
                self.remove()
                starts.shutdown(wait=True)
                work.shutdown(wait=True)
                # And what those had begun to make meanwhile.
                self.remove()
                raise

    def start(self, plan: HostPlan) -> RunningHost:
        """Start a host. Raises LabError, also when the boot that it belongs to was given up."""
        host = RunningHost(self._client, self._engine, plan, self._run)
        self.by_name[plan.name] = host
        host.start()
        if self._given_up.is_set():
            raise LabError(f"{plan.name}: the boot was given up")
        return host

    def volume(self, name: str) -> str:
        """Make an empty volume that lives as long as the hosts; its name in the engine. Raises LabError."""
        full = f"notailcar-{self._run.id}-{name}"
        self._volumes.append(full)
        try:
            self._client.volumes.create(full, labels=self._run.labels)
        except docker.errors.DockerException as error:
            raise LabError(f"{name}: its volume cannot be made: {error}") from error
        return full

    def named(self, name: str, *, of: str) -> RunningHost:
        """A host by name. Raises LabError that names those there are.

        Args:
            name: the host's name.
            of: what they are the hosts of, for the error: "the lab".
        """
        try:
            return self.by_name[name]
        except KeyError:
            raise LabError(f"{of} has no host {name}; it has {', '.join(sorted(self.by_name))}") from None

    def remove(self) -> list[Exception]:
        """Remove what there is; give what went wrong. Removing again does no harm."""
        failures: list[Exception] = []

        def remove(host: RunningHost) -> None:
            try:
                host.close()
            except Exception as error:  # noqa: BLE001 - collected, so that one host keeps no other from going
                failures.append(error)

        running = list(self.by_name.values())
        with ThreadPoolExecutor(max(1, len(running)), thread_name_prefix="close") as pool:
            list(pool.map(remove, running[1:]))
        # The others live in its pid namespace.
        for router in running[:1]:
            remove(router)
        for volume in self._volumes:
            try:
                self._client.volumes.get(volume).remove(force=True)
            except docker.errors.NotFound:
                pass
            except docker.errors.DockerException as error:
                failures.append(error)
        return failures
