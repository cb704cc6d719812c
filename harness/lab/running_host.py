"""A host that runs: one container, owned from its start to its removal."""

import io
import os
import shlex
import tarfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import docker.errors
import httpcore
from docker import DockerClient
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from harness.engine.engine import Engine
from harness.errors import LabError
from harness.lab.host_shell import SHELL, HostShell, HostShells, fits
from harness.management.command import CommandResult
from harness.management.exec_stream import ExecStream
from harness.management.transport import ExecTransport
from harness.run import go_programs
from harness.run.run import Run

# Its cleaner is an image to be pulled, which a sealed machine cannot; labels and `notailcar gc` do its work.
testcontainers_config.ryuk_disabled = True


_SILENCE_SECONDS = 60.0
_BETWEEN_TRIES = 0.02  # seconds; a refused connection costs next to nothing

FILES = "/notailcar"
"""The folder of a host that holds the files it was given."""


@dataclass(frozen=True)
class File:
    """A file put into a host before its first process runs."""

    path: str
    """Below `FILES`."""
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class HostPlan:
    """How a host's container is to be made: everything Docker is told, and nothing it does by itself."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: tuple[File, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)
    """Named volumes by where they are mounted."""
    options: Mapping[str, object] = field(default_factory=dict)
    """More arguments of docker-py's `create`."""


def _feed(stream: ExecStream, pieces: Iterable[bytes]) -> None:
    """Give a program its input. One that ends before it has read all has its reasons, and its exit code."""
    with suppress(httpcore.WriteError):
        for piece in pieces:
            stream.write(piece)
        stream.end_input()


def _staged(plan: HostPlan, run: Run) -> Path:
    """The plan's files as a folder below the run's scratch folder, named as it is to be in the host."""
    folder = run.folder / "hosts" / plan.name / FILES.strip("/")
    for file in plan.files:
        place = folder / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.content)
        place.chmod(file.mode)
    return folder


class RunningHost:
    """Owns a host's container: runs commands in it, opens streams to it, removes it.

    Attributes:
        name: the host's name in the topology.
    """

    def __init__(self, client: DockerClient, engine: Engine, plan: HostPlan, run: Run) -> None:
        """Describe the container; nothing exists before `start`.

        Args:
            client: the engine's client, which runs commands in it.
            engine: the engine.
            plan: what it is made of.
            run: the run that owns it: its id is on the label and in the name.
        """
        self.name = plan.name
        self._client = client
        # With its version, for an engine that is asked for it starts two programs to answer.
        settings = {
            "environment": {**os.environ, "DOCKER_HOST": engine.base_url},
            "version": engine.api_version,
        }
        container = DockerContainer(plan.image, docker_client_kw=settings)
        self._container_name = f"notailcar-{run.id}-{plan.name}"
        container.with_name(self._container_name).with_command(list(plan.command))
        container.with_envs(NOTAILCAR_HOST=plan.name, **go_programs.SPARED, **plan.environment)
        for mounted_at, volume in plan.volumes.items():
            container.with_volume_mapping(volume, mounted_at, "rw")
        labels = {**run.labels, "notailcar.host": plan.name}
        container.with_kwargs(labels=labels, hostname=plan.name, **plan.options)
        if plan.files and engine.own:
            # It sees our files, and takes 50 ms of a processor to unpack what it is sent.
            container.with_volume_mapping(str(_staged(plan, run)), FILES, "ro")
        elif plan.files:
            # One folder, so that it goes over in one request whatever it holds.
            container.with_copy_into_container(_staged(plan, run), "/")
        self._container = container
        self._streams: set[ExecStream] = set()
        self._shells = HostShells(lambda: HostShell(self.open(*SHELL)))

    @property
    def id(self) -> str:
        """The container's id."""
        return self._container.get_container_id()

    def start(self) -> Self:
        """Create the container, put its files in, start its first process. Raises LabError."""
        try:
            self._container.start()
        except docker.errors.DockerException as error:
            raise LabError(f"{self.name}: its container does not start: {error}") from error
        return self

    def run(
        self,
        *argv: str,
        stdin: bytes | Iterable[bytes] = b"",
        environment: Mapping[str, str] | None = None,
        silence: float = _SILENCE_SECONDS,
    ) -> CommandResult:
        """Run a command in the host to its end. The exit code is in the result; see `expect`.

        Args:
            argv: the command.
            stdin: what it is fed.
            environment: variables beside those of the container.
            silence: seconds that it may print nothing. An engine does not always end the stream of a
                command whose container went away, so no read is without a bound.

        Raises:
            LabError: the engine cannot run it at all, or it was silent for too long.
        """
        began = time.monotonic()
        try:
            if isinstance(stdin, bytes) and fits(stdin):
                with self._shells.borrowed() as shell:
                    code, output, complaint = shell.run(argv, environment or {}, stdin, silence)
            else:
                pieces = (stdin,) if isinstance(stdin, bytes) else stdin
                code, output, complaint = self._run_fed(argv, pieces, environment, silence)
        except httpcore.TimeoutException as error:
            raise LabError(
                f"{self.name}: `{shlex.join(argv)[:200]}` printed nothing for {silence:g} s{self._fate()}"
            ) from error
        except (docker.errors.DockerException, OSError, httpcore.NetworkError) as error:
            raise LabError(f"{self.name}: cannot run {argv[0]}: {error}{self._fate()}") from error
        return CommandResult(
            host=self.name,
            argv=argv,
            exit_code=code,
            stdout=output.decode("utf-8", "replace"),
            stderr=complaint.decode("utf-8", "replace"),
            seconds=time.monotonic() - began,
        )

    def _run_fed(
        self,
        argv: Sequence[str],
        pieces: Iterable[bytes],
        environment: Mapping[str, str] | None,
        silence: float,
    ) -> tuple[int, bytes, bytes]:
        """Run a command whose input is large, no text, or comes by and by: by an exec of its own."""
        stream = self.open(*argv, environment=environment)
        # Fed beside the reading: a program that answers while it is fed would else stand still.
        with ThreadPoolExecutor(1, thread_name_prefix="stdin") as pool:
            feeding = pool.submit(_feed, stream, pieces)
            try:
                output = b"".join(iter(lambda: stream.read(65536, silence), b""))
                code = stream.exit_code()
            finally:
                stream.close()
                self._streams.discard(stream)
            feeding.result()
        return code, output, stream.complaint

    def wait_for_listener(self, address: str, *, seconds: float, what: str) -> None:
        """Wait until a connection to `address` is taken. One exec, however long it takes.

        Args:
            address: as socat names it, from inside of the host: TCP:127.0.0.1:80, UNIX-CONNECT:/run/sock.
            seconds: how long it may take.
            what: what is awaited, for the error: "tailscaled listens".

        Raises:
            LabError: nobody listens there when the time is over, with the host's log tail.
        """
        tries = round(seconds / _BETWEEN_TRIES)
        dial = f"{address},retry={tries},interval={_BETWEEN_TRIES}"
        result = self.run("socat", "-u", "OPEN:/dev/null", dial, silence=2 * seconds)
        if result.exit_code:
            raise LabError(f"{self.name}: waited {seconds:g} s in vain until {what}", log=self.log())

    def open(self, *argv: str, environment: Mapping[str, str] | None = None) -> ExecStream:
        """Start a command and give its streams; the caller closes them, or `close` does. Raises LabError."""
        try:
            stream = ExecStream(self._client, self.id, argv, environment=environment)
        except docker.errors.DockerException as error:
            raise LabError(f"{self.name}: cannot run {argv[0]}: {error}{self._fate()}") from error
        self._streams.add(stream)
        return stream

    def transport(self, *dial: str) -> ExecTransport:
        """HTTP to a server in this host, dialled by a program there (socat)."""
        return ExecTransport(lambda: self.open(*dial))

    def fetch(self, path: str) -> bytes:
        """The content of one file of the host, straight from its file system. Raises LabError."""
        try:
            chunks, _ = self._container.get_wrapped_container().get_archive(path)
        except docker.errors.DockerException as error:
            raise LabError(f"{self.name}: cannot read {path}: {error}") from error
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            member = tar.extractfile(tar.getmembers()[0])
            return member.read() if member else b""

    def log(self, lines: int = 40) -> str:
        """The tail of what the first process printed."""
        try:
            return bytes(self._container.get_wrapped_container().logs(tail=lines)).decode("utf-8", "replace")
        except docker.errors.DockerException as error:
            return f"(no log of {self.name}: {error})"

    def stop(self, seconds: int) -> int:
        """End the first process by SIGTERM, or by SIGKILL when it takes longer; its exit code."""
        self._shells.close()
        container = self._container.get_wrapped_container()
        container.stop(timeout=seconds)
        return int(container.wait()["StatusCode"])

    def kill(self) -> None:
        """End the first process by SIGKILL, and every other with it. Raises LabError."""
        self._shells.close()
        try:
            self._container.get_wrapped_container().kill()
        except docker.errors.DockerException as error:
            raise LabError(f"{self.name}: cannot be killed: {error}") from error

    def start_again(self) -> None:
        """Start the first process of a container that has ended, without any wire. Raises LabError."""
        try:
            self._container.get_wrapped_container().start()
        except docker.errors.DockerException as error:
            raise LabError(f"{self.name}: does not start again: {error}") from error

    @property
    def state(self) -> str:
        """The engine's word for the container: running, exited, ... Raises LabError."""
        try:
            self._container.get_wrapped_container().reload()
            return str(self._container.get_wrapped_container().status)
        except docker.errors.DockerException as error:
            raise LabError(f"{self.name}: the engine does not know its container: {error}") from error

    @property
    def pid(self) -> int:
        """The first process, as the engine's machine numbers it; 0 once it has ended. Raises LabError."""
        try:
            self._container.get_wrapped_container().reload()
            return int(self._container.get_wrapped_container().attrs["State"]["Pid"])
        except docker.errors.DockerException as error:
            raise LabError(f"{self.name}: the engine does not know its container: {error}") from error

    def _fate(self) -> str:
        """What became of the container, for an error: its state, and the log tail if it is over."""
        try:
            self._container.reload()
            state = self._container.status
        except docker.errors.DockerException as error:
            return f" (its container is gone: {error})"
        return "" if state == "running" else f" (its container is {state})\n{self.log(10)}"

    def close(self) -> None:
        """Remove the container, running or not, with its anonymous volumes; there may be none yet."""
        # By its name: an interrupted start may have made it without having been told of it.
        with suppress(docker.errors.NotFound):
            self._client.containers.get(self._container_name).remove(force=True, v=True)
        # Whoever still reads from a command of this host wakes up.
        for stream in tuple(self._streams):
            stream.close()
        self._container.get_docker_client().client.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
