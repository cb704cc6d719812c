"""Puts the steps together: from nothing to a lab that is ready, in the order of the design, and back."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from docker import DockerClient

from harness.engine import Engine, find_engine
from harness.errors import UsageError
from harness.job.example import Example
from harness.job.here import render_here
from harness.job.images import named_images
from harness.job.reading import check_variables
from harness.job.rendering import Rendered
from harness.lab import host_plans, seed, sweep, topology_file
from harness.lab import versions as running
from harness.lab.lab import Lab
from harness.lab.offering import Offered, offer
from harness.lab.topology import ControlProgram, Role, Topology
from harness.probes.stage import site_values
from harness.run import places
from harness.run.progress import Progress
from harness.run.run import Run
from harness.supply import catalogue
from harness.supply import sweep as supply_sweep
from harness.supply.ca import load_ca
from harness.supply.image import Image
from harness.supply.own_images import OwnImage, OwnImages
from harness.supply.pins import Pins, load_pins
from harness.supply.programs import program as program_file
from harness.supply.supply import Supply

_RENDERED_AT_ONCE = 4


@dataclass(frozen=True)
class Ready:
    """A lab that is ready, with where all of it came from."""

    lab: Lab
    run: Run
    engine: str
    url: str
    """The engine's address, as in DOCKER_HOST."""
    versions: Mapping[str, str]
    """What really runs in it, and what else was pinned for it."""
    origins: Mapping[str, str]
    nomad: Path
    """The nomad command on this machine, of the version that runs in it."""
    images: Mapping[str, str]
    """Official images that jobs name by default and this lab has in another version: to the one it has."""
    jobs: Sequence[tuple[Example, Rendered]] = ()
    """The examples that it was brought up for, rendered, as far as Nomad can read them."""


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


def supplied(
    topology: Topology, run: Run, engine: Engine, progress: Progress, pins: Pins | None = None
) -> dict[str, Image]:
    """Every image that a topology and the examples need."""
    names = (*host_plans.image_names(topology), *catalogue.EXAMPLES)
    return Supply(engine, run, progress, pins).ensure(names)


@contextmanager
def ready_lab(
    topology_path: Path,
    run: Run,
    progress: Progress,
    program: ControlProgram = ControlProgram.HEADSCALE,
    *,
    lasting_agent: bool = False,
    examples: Sequence[Example] = (),
    pins: Pins | None = None,
) -> Iterator[Ready]:
    """Engine, images, lab with this control program: for the time of the block.

    With a lasting agent, Nomad's client and its server are two, and the client may be restarted; they are
    ready some seconds later. The images of these examples that the lab does not have are brought into it, and
    the names that they speak to lead to its echo service.
    Without `pins`, everything is of its default version.

    Raises UsageError for what the person gave, LabError for what does not come up or is of another version.
    """
    pins = pins or load_pins()
    headscale = "" if pins.is_default("headscale") else pins.go["headscale"].version
    topology = replace(
        topology_file.load(topology_path, program), lasting_agent=lasting_agent, headscale=headscale
    )
    topology = topology.with_names(n for e in examples if e.smoke.egress for n in e.smoke.egress.names)
    with engine_of(run, progress) as engine:
        images = supplied(topology, run, engine, progress, pins)
        client = engine.client()
        try:
            offered = sorted(images[name].official for name in catalogue.EXAMPLES)
            # Before anything runs, as one that is nowhere is the person's to mend.
            further = OwnImages(engine, run.folder, progress, offered)
            nomad = program_file("nomad", pins)
            replaced = replaced_images(pins)
            jobs = _rendered(topology, examples, nomad, replaced)
            own = own_images(topology, jobs, further, images)
            volume = seeded(images, run, client, engine, progress)
            references = {name: image.reference for name, image in images.items()}
            with Lab(
                topology,
                run,
                client,
                engine=engine,
                images=references,
                seed=volume,
                authority=load_ca(),
                progress=progress,
            ) as lab:
                for image in own:
                    with progress.stage("node", f"is given the image {image.named}"):
                        offer(Offered(image.named, image.reference), lab.node.host, client)
                with progress.stage("versions", "asked of the programs that run"):
                    found = running.check(running.ask(lab), versions(pins))
                yield Ready(
                    lab,
                    run,
                    engine.describe(),
                    engine.base_url,
                    found,
                    {**origins(images), **{i.named: i.origin for i in own}},
                    nomad,
                    replaced,
                    jobs,
                )
        finally:
            client.close()


def own_images(
    topology: Topology,
    jobs: Sequence[tuple[Example, Rendered]],
    own: OwnImages,
    images: Mapping[str, Image],
) -> list[OwnImage]:
    """The images that jobs and the topology name and that are not the lab's, found or pulled.

    Raises UsageError for one that is nowhere, with the line of the job that names it.
    """
    for host in topology.hosts:
        if host.image:
            base = images[host_plans.image_name(topology, host)]
            where = f"host {host.name} of the topology"
            own.ensure_made_from(host.image, base.name, base.reference, where)
    offered = {images[name].official for name in catalogue.EXAMPLES}
    wanted = {image: f"the topology {topology.name}" for image in topology.images if image not in offered}
    for example, job in jobs:
        text = example.job_file.read_text(encoding="utf-8")
        for named in named_images(job, example.job_file, text):
            if named.image not in offered:
                wanted.setdefault(named.image, named.where)
    return own.ensure(wanted)


def _rendered(
    topology: Topology, examples: Sequence[Example], nomad: Path, replaced: Mapping[str, str]
) -> list[tuple[Example, Rendered]]:
    """Examples with their jobs; one that Nomad cannot read says so when its own claims are judged.

    Raises UsageError for one that would wait for ever for a Variable.
    """
    values = site_values(topology, f"https://{topology.only(Role.CONTROL).names[0]}")

    def rendered(example: Example) -> Rendered | None:
        try:
            return render_here(example, nomad, values, replaced)
        except UsageError:
            return None

    with ThreadPoolExecutor(_RENDERED_AT_ONCE, thread_name_prefix="render") as pool:
        found = [(e, job) for e, job in zip(examples, pool.map(rendered, examples), strict=True) if job]
    for example, job in found:
        check_variables(example, job)
    return found


def prepare(topology: Topology, run: Run, progress: Progress, *, further: bool = False) -> None:
    """Make everything that can be made before a lab: all images, and the seed of the node's engine.

    With `further`, also with each further version of a program in the place of its default.
    """
    pins = load_pins()
    every = [pins, *(pins.chosen({name: pin.version}) for name, pin in pins.further)] if further else [pins]
    with engine_of(run, progress) as engine:
        client = engine.client()
        try:
            for chosen in every:
                Supply(engine, run, progress, chosen).ensure(catalogue.ALL)
                images = supplied(topology, run, engine, progress, chosen)
                seeded(images, run, client, engine, progress)
        finally:
            client.close()


def collect_garbage(progress: Progress, *, everything: bool) -> None:
    """Remove what dead runs left; with `everything`, images and builds that no pin asks for any more."""
    with Run() as run, engine_of(run, progress) as engine:
        supply_sweep.sweep(engine, old=everything)


def seeded(
    images: Mapping[str, Image], run: Run, client: DockerClient, engine: Engine, progress: Progress
) -> str:
    """The volume that holds the images which the examples name, for the engine of a Nomad client."""
    offered = [Offered(images[i].official, images[i].reference) for i in catalogue.EXAMPLES]
    return seed.ensure(offered, images["node"].reference, run, client, engine=engine, progress=progress)


def origins(images: Mapping[str, Image]) -> dict[str, str]:
    """Where each image came from, in words; a stand-in says that it is one, and for what."""
    return {
        name: f"stand-in for {image.stands_in_for}; {image.origin}" if image.stands_in_for else image.origin
        for name, image in sorted(images.items())
    }


def replaced_images(pins: Pins) -> dict[str, str]:
    """Official images that examples name, to the ones of the versions that are run in their place."""
    usual, chosen = (catalogue.official_images(p) for p in (load_pins(), pins))
    return {usual[name]: chosen[name] for name in catalogue.EXAMPLES if usual[name] != chosen[name]}


def versions(pins: Pins) -> dict[str, str]:
    """The pinned version of everything that is put to work."""
    return {
        **{name: pin.version for name, pin in sorted(pins.go.items())},
        "debian": pins.debian.suite,
        "python": pins.python.version,
        "redis": pins.redis.version,
    }
