"""Which recipe a run uses: what is set, else what made the cache, else what works on this machine."""

import os
from pathlib import Path

from harness.engine import Engine
from harness.engine.children import which
from harness.engine.install import is_debian
from harness.errors import LabError, UsageError
from harness.run import places
from harness.supply import registry
from harness.supply.catalogue import Recipe

SETTING = "NOTAILCAR_SUPPLY"
_GO_REMEDY = "install Go 1.26 or newer"
_REGISTRY_REMEDY = f"make a registry reachable, or set {registry.SETTING}=host:port/prefix to a mirror"


def explicit() -> Recipe | None:
    """The recipe that is set, if one is.

    Raises:
        UsageError: it is set to something unknown.
    """
    value = os.environ.get(SETTING, "")
    if not value:
        return None
    try:
        return Recipe(value)
    except ValueError:
        raise UsageError(f"{SETTING}={value} is unknown", remedy="set it to registry or source") from None


def _memory() -> Path:
    return places.cache() / "recipe"


def remembered() -> Recipe | None:
    """The recipe that made what is in the cache, so that a warm start asks nobody."""
    try:
        return Recipe(_memory().read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return None


def remember(recipe: Recipe) -> None:
    """Keep the recipe for later starts."""
    if remembered() is not recipe:
        part = _memory().with_name(f"recipe.{os.getpid()}")
        part.write_text(recipe, encoding="utf-8")
        part.rename(_memory())


def candidates() -> list[Recipe]:
    """The recipes whose images a run may use, the likeliest first.

    Raises:
        UsageError: the recipe is set to something unknown.
    """
    if wanted := explicit():
        return [wanted]
    return sorted(Recipe, key=lambda recipe: recipe is not remembered())


def source_obstacle(*, wants_go: bool, wants_debian: bool) -> LabError | None:
    """What keeps this machine from the source recipe, if anything does."""
    if wants_go and not which("go"):
        return LabError("building from source needs Go, and there is no `go` on PATH", remedy=_GO_REMEDY)
    if wants_debian and os.geteuid() != 0:
        return LabError(
            "building the base system from source needs root (debootstrap)",
            remedy=f"run as root, or {_REGISTRY_REMEDY}",
        )
    if wants_debian and not which("debootstrap") and not is_debian():
        return LabError(
            "building the base system from source needs debootstrap",
            remedy="install the package debootstrap",
        )
    return None


def decide(engine: Engine, mirror: str, *, wants_go: bool, wants_debian: bool) -> Recipe:
    """Choose the recipe for what is missing.

    Raises:
        LabError: the recipe that is set cannot work here, or none can; names what to do.
    """
    wanted = explicit()
    obstacle = source_obstacle(wants_go=wants_go, wants_debian=wants_debian)
    if wanted is Recipe.SOURCE:
        if obstacle:
            raise obstacle
        return Recipe.SOURCE
    if wanted is None and remembered() is Recipe.SOURCE and obstacle is None:
        return Recipe.SOURCE
    found = registry.reach(engine, mirror)
    if found.answers:
        return Recipe.REGISTRY
    if wanted is Recipe.REGISTRY:
        raise LabError(
            f"the registry {found.host} does not answer ({found.detail})",
            remedy=f"{_REGISTRY_REMEDY}, or set {SETTING}=source",
        )
    if obstacle is None:
        return Recipe.SOURCE
    raise LabError(
        f"images can be neither pulled nor built: the registry {found.host} does not answer "
        f"({found.detail}), and {obstacle.problem}",
        remedy=f"{obstacle.remedy}; or {_REGISTRY_REMEDY}",
    )
