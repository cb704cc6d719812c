"""The seed: a volume with the examples' images as a Docker engine keeps them, made once for every lab.

Loading the images into each lab's own engine would cost seconds at every start. Instead the layers
are mounted where the node's engine looks for them (fixtures/nomad/start.sh), read by all, written by none.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import docker.errors
from docker import DockerClient

from harness.engine.engine import Engine
from harness.errors import LabError
from harness.lab import host_plans, sweep
from harness.lab.offering import Offered, offer
from harness.lab.running_host import FILES, File, HostPlan, RunningHost
from harness.management.waiting import wait_until
from harness.run import places
from harness.run.progress import Progress
from harness.run.run import CACHE_LABEL, Run

_FORMAT = "1"
_READY_SECONDS = 30
_STOP_SECONDS = 30


def name_of(images: Sequence[Offered], node_image: str) -> str:
    """The volume's name: addressed by the images that it holds and the engine that wrote it."""
    inputs = (
        _FORMAT,
        # Whether it is complete is known to its cache alone, and an engine may serve several.
        str(places.cache()),
        node_image,
        *(f"{i.official}={i.reference}" for i in sorted(images, key=lambda i: i.official)),
    )
    digest = hashlib.sha256("\n".join(inputs).encode()).hexdigest()[:12]
    return f"notailcar-seed-{digest}"


def ensure(
    images: Sequence[Offered],
    node_image: str,
    run: Run,
    client: DockerClient,
    *,
    engine: Engine,
    progress: Progress,
) -> str:
    """Give the volume that holds these images; make it where it is not there. Raises LabError."""
    name = name_of(images, node_image)
    # A volume of this name says nothing of its being complete, in whatever engine it stands.
    done = places.cache() / "seeds" / f"{name}-{client.info()['ID'].replace(':', '').lower()[:12]}"
    if done.exists() and _exists(client, name):
        # The newest is the one that was used last (bench/floor.sh).
        done.touch()
        return name
    with _alone(name):
        if done.exists() and _exists(client, name):
            return name
        with progress.stage("images for the node", f"{len(images)} images that the examples name"):
            # What an interrupted making left behind is not worth telling from a half image.
            if _exists(client, name):
                # Its maker may have been killed a moment ago, and its container still hold the volume.
                sweep.sweep(client)
                client.volumes.get(name).remove(force=True)
            client.volumes.create(name, labels={CACHE_LABEL: str(places.cache()), "notailcar.seed": name})
            _fill(name, images, node_image, run, client, engine=engine)
        done.touch()
    return name


def _exists(client: DockerClient, name: str) -> bool:
    try:
        client.volumes.get(name)
    except docker.errors.NotFound:
        return False
    return True


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Only one run at a time makes a seed; the others wait and find it made."""
    folder = places.cache() / "seeds"
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / f".{name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _fill(
    name: str, images: Sequence[Offered], node_image: str, run: Run, client: DockerClient, *, engine: Engine
) -> None:
    script = (places.fixtures() / "nomad" / "seed.sh").read_bytes()
    plan = HostPlan(
        name="seed",
        image=node_image,
        command=(f"{FILES}/seed.sh",),
        files=(File("seed.sh", script, 0o755),),
        volumes={host_plans.NODE_SEED: name},
        options={"network_mode": "none", "entrypoint": [], **host_plans.NODE_RIGHTS},
    )
    with RunningHost(client, engine, plan, run) as host:
        wait_until(
            lambda: host.run("docker", "version", "--format", "{{.Server.Version}}").exit_code == 0,
            seconds=_READY_SECONDS,
            what="the engine that takes the examples' images answers",
            tail=host.log,
        )
        for image in images:
            offer(image, host, client)
        host.run("touch", "/run/loaded").expect()
        code = host.stop(_STOP_SECONDS)
        if code != 0:
            raise LabError("the examples' images could not be kept", log=host.log())
