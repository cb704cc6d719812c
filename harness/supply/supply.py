"""Makes images exist: looks first, decides how to come by what is missing, and has it made."""

import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.engine import Engine
from harness.engine.children import Children
from harness.run import places
from harness.run.progress import Progress
from harness.run.run import Run
from harness.supply import choice, disk, registry
from harness.supply.ca import ca_pem
from harness.supply.catalogue import Catalogue, Plan, Recipe
from harness.supply.image import Image, list_images
from harness.supply.lock import somebody_builds
from harness.supply.making import Maker
from harness.supply.pins import Pins, load_pins
from harness.supply.source import debian_folder, go_caches, has_module, programs_folder


class Supply:
    """Makes images exist in one engine, for one run."""

    def __init__(self, engine: Engine, run: Run, progress: Progress, pins: Pins | None = None) -> None:
        """Use `engine`; scratch files go to the run's folder; `progress` shows what takes time.

        Without `pins`, everything is of its default version.
        """
        self._engine = engine
        self._run = run
        self._progress = progress
        self._pins = pins

    def ensure(self, names: Sequence[str]) -> dict[str, Image]:
        """Make these images exist, with all that they are made from.

        Args:
            names: images of the catalogue, such as `catalogue.LAB`.

        Returns:
            The images by name.

        Raises:
            UsageError: a pin, a setting or a name is wrong.
            LabError: an image cannot be made here; says why and what to do.
        """
        pins, ca, mirror = self._pins or load_pins(), ca_pem(), registry.prefix()
        catalogues = {recipe: Catalogue(recipe, pins, ca, mirror) for recipe in Recipe}
        present = list_images(self._engine)
        for recipe in choice.candidates():
            if found := _all_there(catalogues[recipe], names, present):
                return found
        catalogue = catalogues[self._decide(catalogues[Recipe.SOURCE], names, present, mirror)]
        missing = missing_plans(catalogue, names, present)
        disk.check_room(self._needs(catalogue, missing))
        scratch = scratch_folder(self._run.folder)
        scratch.mkdir(exist_ok=True)
        try:
            with somebody_builds(), Children() as children:
                Maker(
                    self._engine, catalogue, scratch, children, self._progress, mirror=mirror, ca_pem=ca
                ).make_all(missing)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        choice.remember(catalogue.recipe)
        present = list_images(self._engine)
        return {name: present[catalogue.plan(name).reference] for name in names}

    def _decide(
        self, source: Catalogue, names: Sequence[str], present: Mapping[str, Image], mirror: str
    ) -> Recipe:
        # What is missing decides whether the source recipe can work here: what is built needs no compiler.
        missing = missing_plans(source, names, present)
        return choice.decide(
            self._engine,
            mirror,
            wants_go=bool(_unbuilt(source, missing)),
            wants_debian="debian" in missing and not debian_folder(source).is_dir(),
        )

    def _needs(self, catalogue: Catalogue, missing: Mapping[str, Plan]) -> list[disk.Need]:
        room: Path = self._engine.data_root or places.cache()
        needs = [disk.Need(room, "images", disk.IMAGE_NEEDS[name]) for name in missing]
        if catalogue.recipe is Recipe.REGISTRY:
            return needs
        if "debian" in missing and not debian_folder(catalogue).is_dir():
            needs.append(disk.Need(places.cache(), "a base system", disk.DEBOOTSTRAP_NEEDS))
        if unbuilt := _unbuilt(catalogue, missing):
            modules, _ = go_caches()
            for name in unbuilt:
                needs.append(disk.Need(places.cache(), "programs", disk.BINARIES_NEEDS[name]))
                if not has_module(modules, catalogue.go(name)):
                    needs.append(disk.Need(modules, "Go modules", disk.GO_NEEDS[name]))
        return needs


def scratch_folder(run_folder: Path) -> Path:
    """Where a run builds: on the cache's own file system, so that what is complete is only renamed."""
    return run_folder / "supply"


def missing_plans(
    catalogue: Catalogue, names: Sequence[str], present: Mapping[str, Image]
) -> dict[str, Plan]:
    """What has to be made for these images to exist, with what they are made from."""
    missing: dict[str, Plan] = {}
    left = deque(names)
    while left:
        plan = catalogue.plan(left.popleft())
        if plan.reference not in present and plan.name not in missing:
            missing[plan.name] = plan
            left += plan.bases.values()
    return missing


def _all_there(
    catalogue: Catalogue, names: Sequence[str], present: Mapping[str, Image]
) -> dict[str, Image] | None:
    references = {name: catalogue.plan(name).reference for name in names}
    if all(reference in present for reference in references.values()):
        return {name: present[reference] for name, reference in references.items()}
    return None


def _unbuilt(catalogue: Catalogue, missing: Mapping[str, Plan]) -> list[str]:
    pins: Pins = catalogue.pins
    return [name for name in missing if name in pins.go and not programs_folder(catalogue, name).is_dir()]
