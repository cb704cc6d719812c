"""Puts images into the engine of a Nomad node, under the names by which jobs ask for them."""

from dataclasses import dataclass

from docker import DockerClient

from harness.lab.running_host import RunningHost

_LOAD_SECONDS = 600.0


@dataclass(frozen=True)
class Offered:
    """An image that jobs name, and where it stands in the outer engine."""

    official: str
    reference: str


def offer(image: Offered, host: RunningHost, engine: DockerClient) -> None:
    """Load one image of the outer engine into that of a host. Raises LabError."""
    content = engine.images.get(image.reference).save(named=image.reference)
    host.run("docker", "load", "--quiet", stdin=content, silence=_LOAD_SECONDS).expect()
    if image.official != image.reference:
        host.run("docker", "tag", image.reference, image.official).expect()
        host.run("docker", "rmi", image.reference).expect()
