"""From nothing to a stand-in that is ready, and back."""

from collections.abc import Iterator
from contextlib import contextmanager

from harness.assembly import engine_of, seeded, supplied
from harness.run.progress import Progress
from harness.run.run import Run
from harness.supply.ca import load_ca
from harness.supply.programs import program
from tests.live.standin.hosts import TOPOLOGY
from tests.live.standin.standin import StandIn


@contextmanager
def ready_stand_in(run: Run, progress: Progress) -> Iterator[StandIn]:
    """Engine, images, stand-in: for the time of the block. Raises LabError for what does not come up."""
    with engine_of(run, progress) as engine:
        images = supplied(TOPOLOGY, run, engine, progress)
        client = engine.client()
        try:
            seed = seeded(images, run, client, engine, progress)
            with StandIn(
                run,
                client,
                engine=engine,
                images={name: image.reference for name, image in images.items()},
                seed=seed,
                authority=load_ca(),
                programs=(program("nomad").parent,),
                progress=progress,
            ) as stand_in:
                yield stand_in
        finally:
            client.close()
