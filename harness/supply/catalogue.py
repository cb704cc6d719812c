"""Which images there are, what each is made from, and so its digest. Pure data and pure functions."""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from harness.errors import UsageError
from harness.run import places
from harness.supply.image import reference
from harness.supply.pins import GoPin, PackagePin, Pins

FORMAT = "1"
"""Raised when the way of making images changes in code, so that no image of the old way is taken for new."""
CA_FILE = "lab-ca.pem"
DOCKERFILE = "Dockerfile"


class Recipe(StrEnum):
    """The two ways to come by upstream images."""

    REGISTRY = "registry"
    SOURCE = "source"


@dataclass(frozen=True)
class Made:
    """An image that a Dockerfile of fixtures/images makes from other images."""

    bases: Mapping[str, str]
    """Build argument to image."""
    folder: str = ""
    """Of its Dockerfile, where it is not the image's own name."""
    shipped: bool = False
    """Whether users build it, too: then its Dockerfile is in docker/."""
    programs: str = ""
    """The folder of fixtures/ that a shipped one is built in, where it needs more than its Dockerfile."""


UPSTREAM = ("debian", "nomad", "tailscale", "headscale", "consul", "python", "redis")
"""Images as their makers publish them: pulled, or stood in for."""
PROGRAMS = ("labcontrol", "pebble")
"""Images that hold nothing but a program whose main is in its module's folder (fixtures/go)."""
_COMPILER = "golang"
_MADE = {
    "base": Made({"DEBIAN": "debian"}),
    "router": Made({"BASE": "base"}),
    "host": Made({"BASE": "base"}),
    "control": Made({"BASE": "base", "HEADSCALE": "headscale"}),
    "second-control": Made({"BASE": "base", "LABCONTROL": "labcontrol"}),
    "acme": Made({"BASE": "base", "PEBBLE": "pebble"}),
    "member": Made({"BASE": "base", "TAILSCALE": "tailscale"}),
    "browser": Made({"MEMBER": "member"}),
    "node": Made({"BASE": "base", "NOMAD": "nomad", "CONSUL": "consul"}),
    "example-tailscale": Made({"UPSTREAM": "tailscale"}, "example"),
    "example-python": Made({"UPSTREAM": "python"}, "example"),
    "example-redis": Made({"UPSTREAM": "redis"}, "example"),
    "guard": Made({"TAILSCALE": "tailscale"}, "guard-image", shipped=True),
    "example-guard": Made({"UPSTREAM": "guard"}, "example"),
    "observer": Made({"PYTHON": "python"}, shipped=True, programs="echo"),
}
LAB = ("router", "host", "control", "second-control", "acme", "member", "browser", "node")
"""Images that hosts of the lab are started from."""
EXAMPLES = ("example-tailscale", "example-python", "example-redis", "example-guard")
"""Images that jobs name; inside the lab they carry their official names."""
GUARD = "notailcar/guard"
"""What docker/guard-image is called by the examples of its README, and inside the lab."""
ALL = (*LAB, *EXAMPLES)
"""What `prepare` makes exist."""


@dataclass(frozen=True)
class ContextFile:
    """A file of a build's context."""

    text: str
    runnable: bool = False


@dataclass(frozen=True)
class Plan:
    """How one image comes to be under one recipe."""

    name: str
    recipe: Recipe
    digest: str
    official: str
    """The official reference it is, or stands in for; empty for images of the lab."""
    bases: Mapping[str, str]
    """Build argument to the name of another image."""
    context: Mapping[str, ContextFile]
    """The build's context as it was when the digest was computed; empty where no Dockerfile is kept."""
    wants_ca: bool

    @property
    def reference(self) -> str:
        """Its name in the engine."""
        return reference(self.name, self.digest)


class Catalogue:
    """All plans of one recipe, by name."""

    def __init__(self, recipe: Recipe, pins: Pins, ca_pem: bytes, prefix: str) -> None:
        """Describe what would be made.

        Args:
            recipe: the way to come by upstream images.
            pins: versions.
            ca_pem: the lab's CA, which becomes part of most images.
            prefix: the mirror that official images are pulled from, or nothing.
        """
        self.recipe = recipe
        self.pins = pins
        self._ca_pem = ca_pem
        self._prefix = prefix
        self._plans: dict[str, Plan] = {}

    def plan(self, name: str) -> Plan:
        """How an image is made; computed once, from a few small files."""
        if name not in self._plans:
            self._plans[name] = self._planned(name)
        return self._plans[name]

    def _planned(self, name: str) -> Plan:
        if name in PROGRAMS:
            return self._program(name)
        if name in UPSTREAM or (name == _COMPILER and self.recipe is Recipe.REGISTRY):
            return self._upstream(name)
        if name in _MADE:
            return self._made(name)
        known = ", ".join((*_MADE, *UPSTREAM, *PROGRAMS))
        raise UsageError(f"there is no image {name}", remedy=f"the images are {known}")

    def official(self, name: str) -> str:
        """The official reference behind an image: an upstream one, or one offered to the examples.

        Raises UsageError when no Tailscale is pinned, whose version that of the guard's image is.
        """
        return _official(self.pins, name)

    @property
    def packages(self) -> Mapping[str, PackagePin]:
        """The pins of programs that are Debian's packages where no registry is reached."""
        return _packages(self.pins)

    def go(self, name: str) -> GoPin:
        """The pin of a program written in Go."""
        return _go(self.pins, name)

    @cached_property
    def debian_digest(self) -> str:
        """What a base system by debootstrap is addressed by."""
        return digest_of("debootstrap", self.pins.debian.suite, repr(_context("debian")))

    def binaries_digest(self, name: str) -> str:
        """What the built programs of a Go module are addressed by."""
        pin = self.go(name)
        cgo = ("cgo",) if pin.cgo else ()
        return digest_of("go", repr(pin), repr(_files(self.pins.module_folder(name))), *cgo)

    def _upstream(self, name: str) -> Plan:
        official = self.official(name)
        context: dict[str, ContextFile] = {}
        bases: dict[str, str] = {}
        if name not in {"debian", _COMPILER, *self.packages}:
            self.go(name)
        if self.recipe is Recipe.REGISTRY:
            digest = self._of(name, self._prefix, official)
        elif name == "debian":
            digest = self._of(name, official, self.debian_digest)
        else:
            inputs = [official]
            if name in {"tailscale", *self.packages}:
                context, bases = _context(f"stand-in-{name}"), {"DEBIAN": "debian"}
                inputs += [repr(context), self.plan("debian").digest]
            package = self.packages.get(name)
            inputs.append(package.version if package else self.binaries_digest(name))
            digest = self._of(name, *inputs)
        return Plan(name, self.recipe, digest, official, bases, context, wants_ca=False)

    def _program(self, name: str) -> Plan:
        if self.recipe is Recipe.SOURCE:
            digest = self._of(name, self.binaries_digest(name))
            return Plan(name, self.recipe, digest, "", {}, {}, wants_ca=False)
        context = {**_context("program"), **_files(self.pins.module_folder(name))}
        digest = self._of(name, repr(self.go(name)), repr(context), self.plan(_COMPILER).digest)
        return Plan(name, self.recipe, digest, "", {"GOLANG": _COMPILER}, context, wants_ca=False)

    def _made(self, name: str) -> Plan:
        made = _MADE[name]
        folder = made.folder or name
        context = _shipped(folder, made.programs) if made.shipped else _context(folder)
        wants_ca = CA_FILE in context[DOCKERFILE].text
        inputs = [repr(context), *(f"{k}={self.plan(v).digest}" for k, v in made.bases.items())]
        if wants_ca:
            inputs.append(self._ca_pem.decode())
        digest = self._of(name, *inputs)
        return Plan(name, self.recipe, digest, self.official(name), made.bases, context, wants_ca)

    def _of(self, name: str, *inputs: str) -> str:
        return digest_of(name, self.recipe, *inputs)


def official_images(pins: Pins) -> dict[str, str]:
    """The official reference of each image that jobs name, by the image's own name."""
    return {name: _official(pins, name) for name in EXAMPLES}


def _official(pins: Pins, name: str) -> str:
    upstream = name.removeprefix("example-")
    if upstream in pins.go:
        return pins.go[upstream].image
    if upstream in _packages(pins):
        return _packages(pins)[upstream].image
    others = {
        "debian": pins.debian.image,
        _COMPILER: pins.golang.image,
        # Of the same version as what it is made from: its own is the commit that it was built at.
        "guard": f"{GUARD}:{_go(pins, 'tailscale').image.rpartition(':')[2]}",
    }
    return others.get(upstream, "")


def _packages(pins: Pins) -> Mapping[str, PackagePin]:
    return {"python": pins.python, "redis": pins.redis}


def _go(pins: Pins, name: str) -> GoPin:
    if name not in pins.go:
        raise UsageError(
            f"versions.toml pins no Go program {name}", remedy=f"add a table [go.{name}] with its version"
        )
    return pins.go[name]


def _shipped(name: str, programs: str) -> dict[str, ContextFile]:
    """A Dockerfile and its programs: what is written beside it for its users is no part of the image."""
    files = _files(places.data("docker") / name)
    beside = _files(places.fixtures() / programs, "*.py") if programs else {}
    return {DOCKERFILE: files[DOCKERFILE], **beside}


def _context(name: str) -> dict[str, ContextFile]:
    return _files(places.fixtures() / "images" / name)


def _files(folder: Path, named: str = "*") -> dict[str, ContextFile]:
    """The files below a folder, in a fixed order."""
    return {
        str(file.relative_to(folder)): ContextFile(
            file.read_text(encoding="utf-8"), runnable=bool(file.stat().st_mode & 0o100)
        )
        for file in sorted(folder.rglob(named))
        if file.is_file()
    }


def digest_of(*inputs: str) -> str:
    """The digest of a list of inputs, for this kind of machine."""
    state = hashlib.sha256()
    for part in (FORMAT, platform.machine(), *inputs):
        # Each with its length, so that no two lists of inputs read alike.
        state.update(f"{len(part)}:{part}".encode())
    return state.hexdigest()
