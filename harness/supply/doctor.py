"""What is there, what is missing, and what to do about it. Data only: the command prints it."""

import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum

from harness.engine import Engine, find_engine
from harness.engine.children import which
from harness.engine.find import SETTING as ENGINE_SETTING
from harness.engine.find import own_engine_obstacle, own_engine_wanted
from harness.engine.install import is_debian
from harness.engine.users import Silence, users_engine
from harness.errors import NoTailCarError
from harness.run import places
from harness.run.run import Run
from harness.supply import choice, disk, registry
from harness.supply.ca import ca_pem
from harness.supply.catalogue import ALL, Catalogue
from harness.supply.image import list_images
from harness.supply.pins import Pins, go_needed, load_pins
from harness.supply.source import go_version

OLDEST_PYTHON = (3, 11)
OLDEST_NODE = 20
ROOM = 20 * 1000 * disk.MB
"""What a build of everything from nothing takes, with Go's caches: measured, rounded up."""


class State(StrEnum):
    """How something stands."""

    OK = "ok"
    WARNING = "warning"
    """It works without, or will be seen to by itself."""
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: State
    detail: str
    remedy: str = ""


def inspect(run: Run) -> list[Finding]:
    """Look at this machine. Changes nothing: it installs, builds and pulls nothing.

    Args:
        run: for the time that an own engine is held to be looked into.

    Returns:
        Findings, in the order in which a person would put them right.
    """
    findings = [_python()]
    with ExitStack() as stack:
        engine = _engine(run, stack, findings)
        findings.append(_disk(engine))
        try:
            pins = load_pins()
        except NoTailCarError as error:
            return [*findings, Finding("pins", State.MISSING, error.problem, error.remedy)]
        findings.append(_registry(engine))
        findings += [_go(pins), _debootstrap(), _node()]
        findings += _images(engine, pins)
        findings += _further(engine, pins)
    return [*findings, *_cache()]


def _python() -> Finding:
    found = f"Python {platform.python_version()}"
    if sys.version_info >= OLDEST_PYTHON:
        return Finding("python", State.OK, found)
    return Finding("python", State.MISSING, found, "install Python 3.11 or newer")


def _engine(run: Run, stack: ExitStack, findings: list[Finding]) -> Engine | None:
    try:
        answer = Silence("", f"{ENGINE_SETTING}=own") if own_engine_wanted() else users_engine()
        if isinstance(answer, Silence):
            if obstacle := own_engine_obstacle(answer):
                raise obstacle
            if not which("dockerd"):
                findings.append(
                    Finding("engine", State.WARNING, "no Docker", "docker.io is installed at the first run")
                )
                return None
        engine = stack.enter_context(find_engine(run, lambda _: None))
    except NoTailCarError as error:
        findings.append(Finding("engine", State.MISSING, error.problem, error.remedy))
        return None
    findings.append(Finding("engine", State.OK, engine.describe()))
    return engine


def _disk(engine: Engine | None) -> Finding:
    folders = [places.cache(), *([engine.data_root] if engine and engine.data_root else [])]
    free = min(disk.free_bytes(folder) for folder in folders)
    detail = f"{free / 1e9:.0f} GB free; a first build from source takes up to {ROOM / 1e9:.0f} GB"
    return Finding("disk", State.OK if free > ROOM else State.WARNING, detail)


def _registry(engine: Engine | None) -> Finding:
    if engine is None:
        return Finding("registry", State.WARNING, "not asked: only an engine knows where it pulls from")
    try:
        found = registry.reach(engine, registry.prefix())
    except NoTailCarError as error:
        return Finding("registry", State.MISSING, error.problem, error.remedy)
    if found.answers:
        return Finding("registry", State.OK, f"{found.host} answers")
    remedy = f"set {registry.SETTING} to a mirror, or images are built from source"
    return Finding("registry", State.WARNING, f"{found.host} does not answer ({found.detail})", remedy)


def _go(pins: Pins) -> Finding:
    every = [pins, *(pins.chosen({name: pin.version}) for name, pin in pins.further)]
    needed = max((go_needed(p.module_folder(name)) for p in every for name in p.go), key=_as_numbers)
    found = go_version()
    if found is None:
        return Finding("go", State.WARNING, "no Go", f"install Go {needed} or newer to build from source")
    if _as_numbers(found) < _as_numbers(needed):
        return Finding(
            "go",
            State.WARNING,
            f"Go {found}, and {needed} is needed",
            "Go fetches the newer one by itself, unless GOTOOLCHAIN=local",
        )
    return Finding("go", State.OK, f"Go {found}")


def _debootstrap() -> Finding:
    if path := which("debootstrap"):
        return Finding("debootstrap", State.OK, path)
    remedy = "it is installed when it is needed" if is_debian() else "install the package debootstrap"
    return Finding("debootstrap", State.WARNING, "no debootstrap, which building from source needs", remedy)


def _node() -> Finding:
    node = which("node")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False) if node else None
    found = said.stdout.strip() if said else ""
    if found and _as_numbers(found.removeprefix("v")) >= (OLDEST_NODE,):
        return Finding("node", State.OK, f"Node {found}, for the HTML report")
    remedy = f"install Node {OLDEST_NODE} or newer, or `pip install notailcar[node]`"
    return Finding(
        "node", State.WARNING, f"Node {found}" if found else "no Node, for the HTML report", remedy
    )


def _images(engine: Engine | None, pins: Pins) -> Iterator[Finding]:
    if engine is None:
        return
    present = list_images(engine)
    try:
        ca, mirror = ca_pem(), registry.prefix()
        catalogues = [Catalogue(recipe, pins, ca, mirror) for recipe in choice.candidates()]
    except NoTailCarError as error:
        yield Finding("images", State.MISSING, error.problem, error.remedy)
        return
    for name in ALL:
        references = [catalogue.plan(name).reference for catalogue in catalogues]
        found = next((present[reference] for reference in references if reference in present), None)
        if found is None:
            yield Finding(f"image {name}", State.WARNING, "not made yet", "`notailcar prepare` makes it")
            continue
        stands = f", stands in for {found.stands_in_for}" if found.stands_in_for else ""
        yield Finding(
            f"image {name}", State.OK, f"{found.size / 1e6:.0f} MB, {found.reference}, {found.origin}{stands}"
        )


def _further(engine: Engine | None, pins: Pins) -> Iterator[Finding]:
    """Each further version, by whether all the images that differ with it are made."""
    if engine is None:
        return
    present = list_images(engine)
    try:
        ca, mirror = ca_pem(), registry.prefix()
        recipes = choice.candidates()
    except NoTailCarError:
        # Told among the images.
        return
    for name, pin in pins.further:
        chosen = pins.chosen({name: pin.version})
        of_default = {
            image: {Catalogue(recipe, pins, ca, mirror).plan(image).reference for recipe in recipes}
            for image in ALL
        }
        made: list[str] = []
        wanted: list[str] = []
        for recipe in recipes:
            catalogue = Catalogue(recipe, chosen, ca, mirror)
            wanted = [i for i in ALL if catalogue.plan(i).reference not in of_default[i]]
            made = max(made, [i for i in wanted if catalogue.plan(i).reference in present], key=len)
        what = f"further version, beside {pins.go[name].version}: {', '.join(wanted)}"
        if len(made) == len(wanted):
            yield Finding(f"{name} {pin.version}", State.OK, what)
        else:
            missing = f"{what}; {len(wanted) - len(made)} not made yet"
            remedy = "`notailcar matrix` makes them, or `notailcar prepare --all-versions`"
            yield Finding(f"{name} {pin.version}", State.WARNING, missing, remedy)


def _cache() -> Iterator[Finding]:
    if not places.cache().is_dir():
        yield Finding("cache", State.OK, f"{places.cache()} is empty")
        return
    for folder in sorted(path for path in places.cache().iterdir() if path.is_dir()):
        size = disk.size_of(folder)
        if size > disk.MB:
            yield Finding(f"cache {folder.name}", State.OK, f"{size / 1e6:.0f} MB in {folder}")


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
