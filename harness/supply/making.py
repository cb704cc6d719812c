"""Making images: each as soon as those it is made from are there, side by side where nothing waits."""

import queue
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from graphlib import TopologicalSorter
from pathlib import Path

from harness.engine import Engine
from harness.engine.children import CancelledError, Children
from harness.run.progress import Progress
from harness.supply import image as images
from harness.supply import registry
from harness.supply.build import Build, Builder
from harness.supply.catalogue import CA_FILE, DOCKERFILE, PROGRAMS, Catalogue, ContextFile, Plan, Recipe
from harness.supply.image import Image, find_image
from harness.supply.lock import only_maker
from harness.supply.source import ORIGIN_FILE, Workshop, ldflags

BUILDS_AT_ONCE = 2
"""Image builds mostly wait for a mirror; more than two at once wait for the disk."""
PATIENCE = 5.0
"""Seconds given to builds that were called off. Their commands are dead by then; one inside the engine ends
with our connection."""


class Maker:
    """Makes the images of one catalogue in one engine."""

    def __init__(
        self,
        engine: Engine,
        catalogue: Catalogue,
        scratch: Path,
        children: Children,
        progress: Progress,
        *,
        mirror: str,
        ca_pem: bytes,
    ) -> None:
        """Build in `engine`, with commands owned by `children`, and scratch files in `scratch`."""
        self._engine = engine
        self._catalogue = catalogue
        self._children = children
        self._progress = progress
        self._mirror = mirror
        self._ca_pem = ca_pem
        self._builder = Builder(engine, scratch, children.cancelled)
        self._workshop = Workshop(catalogue, children, scratch, progress)
        self._slots = threading.Semaphore(BUILDS_AT_ONCE)

    def make_all(self, plans: Mapping[str, Plan]) -> None:
        """Make images, by name; what they are made from is among them, or there already.

        Raises:
            LabError: the first that failed; the others are called off.
        """
        order = TopologicalSorter({n: [b for b in p.bases.values() if b in plans] for n, p in plans.items()})
        order.prepare()
        ended: queue.SimpleQueue[tuple[str, BaseException | None]] = queue.SimpleQueue()
        threads: list[threading.Thread] = []

        def work(name: str) -> None:
            try:
                self._make(plans[name])
            except BaseException as error:  # noqa: BLE001  (raised again by the thread that waits)
                ended.put((name, error))
            else:
                ended.put((name, None))

        try:
            while order.is_active():
                for name in order.get_ready():
                    # A daemon: a call into the engine cannot be called back, and must not hold up Ctrl-C.
                    threads.append(threading.Thread(target=work, args=(name,), name=name, daemon=True))
                    threads[-1].start()
                name, error = ended.get()
                if error:
                    raise error
                order.done(name)
        finally:
            self._children.cancel()
            until = time.monotonic() + PATIENCE
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))

    def _make(self, plan: Plan) -> None:
        def waiting() -> AbstractContextManager[object]:
            return self._progress.stage(f"image {plan.name}", "another run is building it")

        if find_image(self._engine, plan.reference):
            return
        with only_maker(plan.digest, self._children.cancelled, waiting):
            if find_image(self._engine, plan.reference):
                return
            if plan.context:
                build = self._from_context(plan)
            elif plan.recipe is Recipe.REGISTRY:
                build = self._pulled(plan)
            else:
                build = self._from_scratch(plan)
            with self._slots:
                if self._children.cancelled.is_set():
                    raise CancelledError
                with self._progress.stage(f"image {plan.name}", plan.reference) as stage:
                    self._builder.build(build, stage)

    def _from_context(self, plan: Plan) -> Build:
        files: dict[str, ContextFile | Path] = dict(plan.context)
        if plan.wants_ca:
            files[CA_FILE] = ContextFile(self._ca_pem.decode())
        arguments = {argument: self._catalogue.plan(base).reference for argument, base in plan.bases.items()}
        bases = [self._base(base) for base in plan.bases.values()]
        leaves = dict.fromkeys(
            part for base in bases for part in base.origin.removeprefix(f"{plan.recipe}: ").split(" + ")
        )
        if plan.name in PROGRAMS:
            arguments["LDFLAGS"] = ldflags(self._catalogue.go(plan.name))
        elif plan.name in self._catalogue.pins.go:
            programs = self._workshop.binaries(plan.name)
            for path in self._catalogue.go(plan.name).binaries:
                files[Path(path).name] = programs / Path(path).name
            leaves = {_origin(programs): None, **leaves}
        if package := self._catalogue.packages.get(plan.name):
            arguments["VERSION"] = package.version
            leaves = {f"{plan.name.capitalize()} {package.version} of Debian": None, **leaves}
        return Build(
            name=plan.name,
            reference=plan.reference,
            labels=self._labels(plan, f"{plan.recipe}: {' + '.join(leaves)}"),
            arguments=arguments,
            files=files,
        )

    def _from_scratch(self, plan: Plan) -> Build:
        if plan.name == "debian":
            made = self._workshop.debian()
            lines = ["FROM scratch", "ADD debian.tar /", 'CMD ["bash"]']
            paths = [Path("debian.tar")]
        else:
            made = self._workshop.binaries(plan.name)
            paths = [Path(path) for path in self._catalogue.go(plan.name).binaries]
            lines = ["FROM scratch", *(f"COPY {path.name} {path}" for path in paths)]
        return Build(
            name=plan.name,
            reference=plan.reference,
            labels=self._labels(plan, f"{plan.recipe}: {_origin(made)}"),
            files={
                DOCKERFILE: ContextFile("\n".join(lines)),
                **{path.name: made / path.name for path in paths},
            },
        )

    def _pulled(self, plan: Plan) -> Build:
        pulled = registry.pulled_name(plan.official, self._mirror)
        with self._progress.stage(f"pull {plan.name}", pulled) as stage:
            exact = self._builder.pull(pulled, stage)
        return Build(
            name=plan.name,
            reference=plan.reference,
            labels=self._labels(plan, f"{plan.recipe}: {exact}"),
            files={DOCKERFILE: ContextFile(f"FROM {pulled}\n")},
        )

    def _labels(self, plan: Plan, origin: str) -> dict[str, str]:
        stands_in_for = plan.official if plan.recipe is Recipe.SOURCE else ""
        return images.labels(
            plan.name,
            plan.digest,
            origin=origin,
            official=plan.official,
            stands_in_for=stands_in_for,
            recipe=plan.recipe,
        )

    def _base(self, name: str) -> Image:
        found = find_image(self._engine, self._catalogue.plan(name).reference)
        # Made before this one, in the order of the graph; gone only if somebody removed it meanwhile.
        if found is None:
            raise CancelledError
        return found


def _origin(folder: Path) -> str:
    return (folder / ORIGIN_FILE).read_text(encoding="utf-8")
