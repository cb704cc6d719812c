"""Puts the steps together: from nothing to a lab that is ready, in the order of the design, and back."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from docker import DockerClient

from harness.engine import Engine, find_engine
from harness.lab import host_plans, seed, sweep, topology_file
from harness.lab.lab import Lab
from harness.lab.seed import Offered
from harness.lab.topology import ControlProgram, Topology
from harness.run import places
from harness.run.progress import Progress
from harness.run.run import Run
from harness.supply import catalogue
from harness.supply import sweep as supply_sweep
from harness.supply.ca import load_ca
from harness.supply.image import Image
from harness.supply.pins import load_pins
from harness.supply.supply import Supply


@dataclass(frozen=True)
class Ready:
    """A lab that is ready, with where all of it came from."""

    lab: Lab
    run: Run
    engine: str
    url: str
    """The engine's address, as in DOCKER_HOST."""
    versions: Mapping[str, str]
    origins: Mapping[str, str]


def default_topology() -> Path:
    """The topology file of the lab that ships with the harness."""
    return places.fixtures() / "topology.toml"


@contextmanager
def engine_of(run: Run, progress: Progress) -> Iterator[Engine]:
    """An engine without what dead runs left in it."""
    with ExitStack() as stack:
        with progress.stage("engine", "found or started, swept"):
            engine = stack.enter_context(find_engine(run, progress.note))
            client = engine.client()
            try:
                if swept := sweep.sweep(client):
                    progress.note(swept.describe())
            finally:
                client.close()
        yield engine


def supplied(topology: Topology, run: Run, engine: Engine, progress: Progress) -> dict[str, Image]:
    """Every image that a topology and the examples need."""
    return Supply(engine, run, progress).ensure((*host_plans.image_names(topology), *catalogue.EXAMPLES))


@contextmanager
def ready_lab(
    topology_path: Path,
    run: Run,
    progress: Progress,
    program: ControlProgram = ControlProgram.HEADSCALE,
    *,
    lasting_agent: bool = False,
) -> Iterator[Ready]:
    """Engine, images, lab with this control program: for the time of the block.

    With a lasting agent, Nomad's client and its server are two, and the client may be restarted; they are
    ready some seconds later.

    Raises UsageError for what the person gave, LabError for what does not come up.
    """
    topology = replace(topology_file.load(topology_path, program), lasting_agent=lasting_agent)
    with engine_of(run, progress) as engine:
        images = supplied(topology, run, engine, progress)
        client = engine.client()
        try:
            volume = _seed(images, run, client, engine.base_url, progress)
            references = {name: image.reference for name, image in images.items()}
            with Lab(
                topology,
                run,
                client,
                engine_url=engine.base_url,
                images=references,
                seed=volume,
                authority=load_ca(),
                progress=progress,
            ) as lab:
                yield Ready(lab, run, engine.describe(), engine.base_url, versions(), origins(images))
        finally:
            client.close()


def prepare(topology: Topology, run: Run, progress: Progress) -> None:
    """Make everything that can be made before a lab: all images, and the seed of the node's engine."""
    with engine_of(run, progress) as engine:
        Supply(engine, run, progress).ensure(catalogue.ALL)
        images = supplied(topology, run, engine, progress)
        client = engine.client()
        try:
            _seed(images, run, client, engine.base_url, progress)
        finally:
            client.close()


def collect_garbage(progress: Progress, *, everything: bool) -> None:
    """Remove what dead runs left; with `everything`, images and builds that no pin asks for any more."""
    with Run() as run, engine_of(run, progress) as engine:
        supply_sweep.sweep(engine, old=everything)


def _seed(images: Mapping[str, Image], run: Run, client: DockerClient, url: str, progress: Progress) -> str:
    offered = [Offered(images[i].official, images[i].reference) for i in catalogue.EXAMPLES]
    return seed.ensure(offered, images["node"].reference, run, client, url=url, progress=progress)


def origins(images: Mapping[str, Image]) -> dict[str, str]:
    """Where each image came from, in words; a stand-in says that it is one, and for what."""
    return {
        name: f"stand-in for {image.stands_in_for}; {image.origin}" if image.stands_in_for else image.origin
        for name, image in sorted(images.items())
    }


def versions() -> dict[str, str]:
    """The pinned version of everything that is put to work."""
    pins = load_pins()
    return {
        **{name: pin.version for name, pin in sorted(pins.go.items())},
        "debian": pins.debian.suite,
        "python": pins.python.version,
        "redis": pins.redis.version,
    }
