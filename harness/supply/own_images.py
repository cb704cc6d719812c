"""Images that are not the lab's: what jobs and topologies name, out of the user's engine or a registry."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient
from docker.errors import APIError, ImageNotFound

from harness.engine import Engine
from harness.engine.users import users_engine
from harness.errors import LabError, UsageError
from harness.run.progress import Progress
from harness.supply import image as images
from harness.supply import registry
from harness.supply.build import Build, Builder
from harness.supply.ca import ca_pem
from harness.supply.catalogue import CA_FILE, DOCKERFILE, ContextFile, digest_of

_NAME = "own"
_DOCKERFILE = """\
FROM {image}
USER 0:0
COPY {ca} /usr/local/share/ca-certificates/notailcar-lab.crt
RUN ! command -v update-ca-certificates || update-ca-certificates
USER {user}
"""


@dataclass(frozen=True)
class OwnImage:
    """An image as it is named, and what is started in its place: the same, trusting the lab's CA besides."""

    named: str
    reference: str
    origin: str


class OwnImages:
    """Finds images, or has them pulled, for one run."""

    def __init__(
        self, engine: Engine, scratch: Path, progress: Progress, offered: Sequence[str] = ()
    ) -> None:
        """Look in this engine first; contexts of builds go to `scratch`; the lab itself offers others."""
        self._engine = engine
        self._offered = offered
        self._builder = Builder(engine, scratch, threading.Event())
        self._progress = progress

    def ensure(self, wanted: Mapping[str, str]) -> list[OwnImage]:
        """Make these images exist in the engine, and trust the lab's CA.

        Args:
            wanted: images, each with the place that names it, for the person.

        Raises:
            UsageError: one is neither in an engine nor in the registry; names it, and who names it.
        """
        if not wanted:
            return []
        client = self._engine.client()
        try:
            origins = {image: self._found(client, image) for image in wanted}
            if missing := [image for image, origin in origins.items() if not origin]:
                self._pull(missing, wanted, origins)
            return [self._trusting(client, image, origins[image]) for image in wanted]
        finally:
            client.close()

    def ensure_made_from(self, image: str, base: str, reference: str, where: str) -> None:
        """Make an image exist that was made from one of the lab's; a host is started from it as it is.

        Args:
            image: the image.
            base: the name of the lab's image, such as `member`.
            reference: what that is called in the engine.
            where: what names it, for the person.

        Raises:
            UsageError: it is nowhere, or was made from something else.
        """
        client = self._engine.client()
        try:
            if not self._found(client, image):
                self._pull([image], {image: where}, {})
            labels = (client.images.get(image).attrs.get("Config") or {}).get("Labels") or {}
        finally:
            client.close()
        if labels.get(images.LABEL_NAME) != base:
            raise UsageError(
                f"{where}: {image} is not made from the lab's image {base}, which has what such a host needs",
                remedy=f"begin its Dockerfile with FROM {reference}",
            )

    def _found(self, client: DockerClient, image: str) -> str:
        """Where an image was found without asking a registry; nothing where it was not."""
        if _is_there(client, image):
            return f"{self._engine.describe()}"
        if not self._engine.own:
            return ""
        theirs = users_engine()
        if not isinstance(theirs, Engine):
            return ""
        other = theirs.client()
        try:
            if not _is_there(other, image):
                return ""
            with self._progress.stage(f"image {image}", "out of your own engine"):
                client.images.load(b"".join(other.images.get(image).save(named=image)))
        finally:
            other.close()
        return theirs.describe()

    def _pull(self, missing: Sequence[str], wanted: Mapping[str, str], origins: dict[str, str]) -> None:
        failures = []
        for image in missing:
            try:
                origins[image] = self._pulled(image)
            except LabError as error:
                failures.append(f"{wanted[image]}: {image}: {error.problem}")
        if failures:
            plural = "an image is" if len(failures) == 1 else f"{len(failures)} images are"
            raise UsageError(
                f"{plural} neither in the engine ({self._engine.describe()}) nor in a registry",
                log="\n".join(failures),
                remedy="build or pull it (docker build, docker pull), correct its name, or set "
                f"{registry.SETTING} to a registry that has it"
                + (f"; the lab itself has {', '.join(self._offered)}" if self._offered else ""),
            )

    def _pulled(self, image: str) -> str:
        """Pull an image, and give the reference with its digest. Raises LabError."""
        pulled = image if registry.has_host(image) else registry.pulled_name(image, registry.prefix())
        reach = registry.reach(self._engine, pulled if registry.has_host(pulled) else "")
        if not reach.answers:
            raise LabError(f"the registry {reach.host} does not answer ({reach.detail})")
        with self._progress.stage(f"pull {image}", pulled) as stage:
            exact = self._builder.pull(pulled, stage)
        if pulled != image:
            self._name(pulled, image)
        return exact

    def _name(self, pulled: str, image: str) -> None:
        repository, _, tag = image.rpartition(":")
        client = self._engine.client()
        try:
            client.images.get(pulled).tag(repository, tag)
        finally:
            client.close()

    def _trusting(self, client: DockerClient, image: str, origin: str) -> OwnImage:
        attributes = client.images.get(image).attrs
        user = (attributes.get("Config") or {}).get("User") or "0"
        ca = ca_pem().decode()
        text = _DOCKERFILE.format(image=image, ca=CA_FILE, user=user)
        digest = digest_of(_NAME, attributes["Id"], text, ca)
        reference = images.reference(_NAME, digest)
        if _is_there(client, reference):
            return OwnImage(image, reference, origin)
        build = Build(
            name=image,
            reference=reference,
            labels=images.labels(
                _NAME, digest, origin=origin, official=image, stands_in_for="", recipe=_NAME
            ),
            files={DOCKERFILE: ContextFile(text), CA_FILE: ContextFile(ca)},
        )
        with self._progress.stage(f"image {image}", "is given the lab's CA") as stage:
            try:
                self._builder.build(build, stage)
            except LabError as error:
                if "/bin/sh" not in error.problem:
                    raise
                # An image without a shell; whom it asks by TLS it does not trust.
                self._progress.note(f"{image}: has no shell, so it does not trust the lab's CA")
                return OwnImage(image, image, origin)
        return OwnImage(image, reference, origin)


def _is_there(client: DockerClient, image: str) -> bool:
    try:
        client.images.get(image)
    except (ImageNotFound, APIError):
        return False
    return True
