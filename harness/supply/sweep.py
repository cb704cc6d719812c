"""Removes what builds left behind: scratch files, half-way images, and on request all that is old."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from docker.errors import APIError

from harness.engine import Engine
from harness.run import places
from harness.run.run import RUN_LABEL, dead_runs
from harness.supply import registry
from harness.supply.ca import ca_pem
from harness.supply.catalogue import ALL, PROGRAMS, UPSTREAM, Catalogue, Plan, Recipe
from harness.supply.disk import size_of
from harness.supply.image import LABEL_NAME, list_images
from harness.supply.lock import nobody_builds
from harness.supply.pins import load_pins
from harness.supply.source import debian_folder, programs_folder
from harness.supply.supply import scratch_folder

SETTLED = "1h"
"""In a shared engine, what is younger may belong to a build of another cache, whose locks we do not see."""


@dataclass
class Swept:
    """What was removed."""

    files: list[Path] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    octets: int = 0
    """What the files and dangling images took."""
    busy: bool = False
    """True where another run is building, and so only dead runs' files were looked at."""


def sweep(engine: Engine | None, *, old: bool = False) -> Swept:
    """Remove leftovers of builds, and nothing that a live run uses.

    Args:
        engine: the engine to look into; None looks at files only.
        old: also remove images, programs and base systems that the present pins have no use for.

    Returns:
        What was removed.

    Raises:
        UsageError: with `old`, where the pins cannot be read.
    """
    swept = Swept()
    for run in dead_runs():
        _remove(scratch_folder(run), swept)
    with nobody_builds() as alone:
        if not alone:
            swept.busy = True
            return swept
        if engine:
            _half_way(engine, swept)
        if old:
            _old(engine, swept)
    return swept


def _half_way(engine: Engine, swept: Swept) -> None:
    """What a build was at when it was killed: it has our label, but no run and no name."""
    settled: Mapping[str, str] = {} if engine.own else {"until": SETTLED}
    client = engine.client()
    try:
        # The prune leaves running containers alone, and takes those of builds alone: a run's carry its label.
        pruned = client.containers.prune({"label": LABEL_NAME, "label!": RUN_LABEL, **settled})
        swept.containers += pruned.get("ContainersDeleted") or []
        images = client.images.prune({"label": LABEL_NAME, "dangling": True, **settled})
        swept.images += [
            entry["Deleted"] for entry in images.get("ImagesDeleted") or [] if "Deleted" in entry
        ]
        swept.octets += images.get("SpaceReclaimed") or 0
    finally:
        client.close()


def _old(engine: Engine | None, swept: Swept) -> None:
    # No image holds two programs of which there are further versions: each of them alone is all there is.
    pins = load_pins()
    every = [pins, *(pins.chosen({name: pin.version}) for name, pin in pins.further)]
    catalogues = [Catalogue(r, chosen, ca_pem(), registry.prefix()) for r in Recipe for chosen in every]
    sources = [catalogue for catalogue in catalogues if catalogue.recipe is Recipe.SOURCE]
    kept = {
        *(debian_folder(source) for source in sources),
        *(programs_folder(source, name) for source in sources for name in pins.go),
    }
    for path in _stored():
        if path not in kept:
            _remove(path, swept)
    if engine is None:
        return
    wanted = {plan.reference for catalogue in catalogues for plan in _closure(catalogue)}
    client = engine.client()
    try:
        for reference in list_images(engine):
            if reference not in wanted:
                try:
                    client.images.remove(reference)
                except APIError:
                    # A container still uses it: then it is not unused.
                    continue
                swept.images.append(reference)
    finally:
        client.close()


def _closure(catalogue: Catalogue) -> Iterator[Plan]:
    for name in (*ALL, *UPSTREAM, *PROGRAMS, "base"):
        yield catalogue.plan(name)


def _stored() -> Iterator[Path]:
    for kind in ("binaries", "bases"):
        folder = places.cache() / kind
        if folder.is_dir():
            yield from folder.iterdir()


def _remove(path: Path, swept: Swept) -> None:
    if not path.exists():
        return
    swept.octets += size_of(path) if path.is_dir() else path.stat().st_size
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    swept.files.append(path)
