"""Building an image: a context, a Dockerfile, labels, and a name that it gets only when it is complete."""

import io
import os
import tarfile
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from docker.errors import APIError, BuildError, DockerException
from requests.exceptions import RequestException

from harness.engine import Engine
from harness.engine.children import CancelledError
from harness.errors import LabError
from harness.run.progress import Stage
from harness.supply import disk
from harness.supply.catalogue import ContextFile

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_LOG_LINES = 25


@dataclass(frozen=True)
class Build:
    """What one image is built from."""

    name: str
    reference: str
    labels: Mapping[str, str]
    files: Mapping[str, ContextFile | Path]
    """The context, with its Dockerfile, by the name that each file gets in it."""
    arguments: Mapping[str, str] = field(default_factory=dict)


class Builder:
    """Builds images in one engine, one context file after another in its scratch folder."""

    def __init__(self, engine: Engine, scratch: Path, cancelled: threading.Event) -> None:
        """Build in `engine`, write contexts to `scratch`, stop when `cancelled` is set."""
        self._engine = engine
        self._scratch = scratch
        self._cancelled = cancelled

    def build(self, build: Build, stage: Stage) -> None:
        """Build one image, and name it.

        Raises:
            LabError: the build failed (with the end of its log), or a disk is full.
            CancelledError: it was called off.
        """
        try:
            with tempfile.TemporaryFile(dir=self._scratch) as context:
                _write_context(build, context)
                context.seek(0)
                self._run(build, context, stage)
        except OSError as error:
            if disk.is_full(str(error)):
                raise disk.disk_full(self._scratch, f"the image {build.name}") from error
            raise

    def pull(self, reference: str, stage: Stage) -> str:
        """Pull an image by its tag.

        Returns:
            The reference with the digest it had, for its origin.

        Raises:
            LabError: the registry does not know it or does not answer, or a disk is full.
            CancelledError: it was called off.
        """
        repository, _, tag = reference.rpartition(":")
        client = self._engine.client()
        try:
            events = client.api.pull(repository, tag=tag, stream=True, decode=True)
            for event in self._events(events):
                if "error" in event:
                    raise self._pull_failed(reference, str(event["error"]))
                stage.update(" ".join(str(event.get(k, "")) for k in ("id", "status", "progress")).strip())
            digests = client.images.get(reference).attrs.get("RepoDigests") or [reference]
        except (APIError, RequestException) as error:
            raise self._pull_failed(reference, str(error)) from error
        finally:
            client.close()
        return str(digests[0])

    def _run(self, build: Build, context: IO[bytes], stage: Stage) -> None:
        log: list[str] = []
        client = self._engine.client()
        try:
            events = client.api.build(
                fileobj=context,
                custom_context=True,
                tag=build.reference,
                buildargs={**{k: os.environ[k] for k in _PROXIES if k in os.environ}, **build.arguments},
                labels=dict(build.labels),
                network_mode="host",
                rm=True,
                forcerm=True,
                decode=True,
            )
            for event in self._events(events):
                if "error" in event:
                    raise self._failed(build, str(event["error"]), log)
                for line in str(event.get("stream", "")).splitlines():
                    if line.strip():
                        log.append(line.rstrip())
                        stage.update(log[-1])
        except (DockerException, BuildError, RequestException) as error:
            raise self._failed(build, str(error), log) from error
        finally:
            client.close()

    def _events(self, events: Iterable[Any]) -> Iterator[dict[str, Any]]:
        for event in events:
            if self._cancelled.is_set():
                raise CancelledError
            yield event

    def _failed(self, build: Build, problem: str, log: list[str]) -> Exception:
        if self._cancelled.is_set():
            return CancelledError()
        tail = "\n".join(log[-_LOG_LINES:])
        if disk.is_full(problem) or disk.is_full(tail):
            return disk.disk_full(self._room(), f"the image {build.name}", tail)
        return LabError(
            f"the image {build.name} could not be built: {problem.strip()}",
            log=tail,
            remedy="read the log above; a Debian mirror that does not answer is the usual cause",
        )

    def _pull_failed(self, reference: str, problem: str) -> Exception:
        if self._cancelled.is_set():
            return CancelledError()
        if disk.is_full(problem):
            return disk.disk_full(self._room(), f"the image {reference}")
        return LabError(
            f"{reference} could not be pulled: {problem.strip()}",
            remedy="correct the tag in versions.toml or NOTAILCAR_REGISTRY, or set NOTAILCAR_SUPPLY=source",
        )

    def _room(self) -> Path:
        return self._engine.data_root or self._scratch


def _write_context(build: Build, stream: IO[bytes]) -> None:
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, file in build.files.items():
            if isinstance(file, Path):
                archive.add(file, arcname=name)
            else:
                entry, content = tarfile.TarInfo(name), file.text.encode()
                entry.size, entry.mode = len(content), 0o755 if file.runnable else 0o644
                archive.addfile(entry, io.BytesIO(content))
