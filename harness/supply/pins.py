"""Every version of the lab, from fixtures/versions.toml, held against the Go modules that repeat some."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from cattrs import Converter, transform_error

from harness.errors import UsageError
from harness.run import places

FILE = "versions.toml"
MOVABLE = ("nomad", "tailscale", "headscale")
"""The programs of which further versions may be pinned, to be run in the place of the default."""
_VERSION = "{version}"


@dataclass(frozen=True)
class GoPin:
    """A program written in Go: the module that it is built from, and the official image that holds it."""

    version: str
    module: str
    packages: list[str]
    image: str
    """Empty for a program whose main is in the module's own folder: nobody publishes it."""
    binaries: list[str]
    """Its paths in the image."""
    ldflags: list[str]
    # Not of the others' digests, which are made from what they were before there was this.
    cgo: bool = field(default=False, repr=False)
    """Whether it builds only with a C compiler."""


@dataclass(frozen=True)
class GolangPin:
    """The compiler, for programs that nobody publishes, where images come from a registry."""

    image: str


@dataclass(frozen=True)
class DebianPin:
    """The base system."""

    suite: str
    image: str


@dataclass(frozen=True)
class PackagePin:
    """A program as examples use it: an official image, or Debian's package of the same version."""

    version: str
    image: str


@dataclass(frozen=True)
class ReportPin:
    """Programs that make the report."""

    allure: str


@dataclass(frozen=True)
class _GoTable:
    """A table of [go], as it is written: {version} stands for one of its versions."""

    version: str
    module: str
    packages: list[str]
    image: str
    binaries: list[str]
    ldflags: list[str]
    further: list[str]
    cgo: list[str]

    def at(self, version: str) -> GoPin:
        return GoPin(
            version=version,
            module=self.module,
            packages=self.packages,
            image=self.image.replace(_VERSION, version),
            binaries=self.binaries,
            ldflags=[flag.replace(_VERSION, version) for flag in self.ldflags],
            cgo=version in self.cgo,
        )


@dataclass(frozen=True)
class _Others:
    """The pins that are written as they are."""

    golang: GolangPin
    debian: DebianPin
    python: PackagePin
    redis: PackagePin
    report: ReportPin


@dataclass(frozen=True)
class _File(_Others):
    go: dict[str, _GoTable]


@dataclass(frozen=True)
class Pins(_Others):
    """All pins: one of each program, and those that may be put in its place."""

    go: dict[str, GoPin]
    """What is run: the defaults, or what was chosen."""
    choices: dict[str, tuple[GoPin, ...]]
    """Every pin of a program, its default first."""

    def chosen(self, versions: Mapping[str, str]) -> "Pins":
        """The same with other versions of some programs.

        Args:
            versions: program to version, such as {"nomad": "1.10.5"}.

        Raises:
            UsageError: a program or a version has no pin; says which there are.
        """
        go = dict(self.go)
        for name, version in versions.items():
            if name not in MOVABLE:
                raise UsageError(
                    f"there is no choice of versions for {name!r}",
                    remedy=f"there is one for {', '.join(MOVABLE)}",
                )
            found = next((pin for pin in self.choices[name] if pin.version == version), None)
            if found is None:
                there = ", ".join(
                    f"{pin.version}{'' if number else ' (the default)'}"
                    for number, pin in enumerate(self.choices[name])
                )
                raise UsageError(
                    f"{name} {version} is not pinned",
                    remedy=f"there are {there}; a further one needs "
                    f"its version in {FILE} and its module in fixtures/go/further (CONTRIBUTING.md)",
                )
            go[name] = found
        return replace(self, go=go)

    def is_default(self, name: str) -> bool:
        """Whether a program is of its default version here."""
        return self.go[name] == self.choices[name][0]

    @property
    def further(self) -> Iterator[tuple[str, GoPin]]:
        """Every pin beside the defaults, with the program that it is of."""
        for name, pins in self.choices.items():
            for pin in pins[1:]:
                yield name, pin

    def module_folder(self, name: str) -> Path:
        """Where the Go module of a program is: its go.mod and go.sum pin all that it is built from."""
        if self.is_default(name):
            return places.fixtures() / "go" / name
        return places.fixtures() / "go" / "further" / f"{name}-{self.go[name].version}"


def load_pins(versions: Mapping[str, str] | None = None) -> Pins:
    """Read the pins and check all of them against the Go modules.

    Args:
        versions: those to take in the place of defaults, by program.

    Raises:
        UsageError: the file is missing or wrong (it names the key), a go.mod requires another version, or a
            version that is asked for has no pin.
    """
    file = places.fixtures() / FILE
    pins = parse(file)
    for name in pins.go:
        _check_module(file, name, pins)
    for name, pin in pins.further:
        _check_module(file, name, pins.chosen({name: pin.version}))
    return pins.chosen(versions or {})


def read_versions(text: str, where: str) -> dict[str, str]:
    """Read versions as they are given to a command: `nomad=1.10.5,headscale=0.28.0`.

    Args:
        text: program and version, comma separated; may be empty.
        where: what it was given by, for the error.

    Raises:
        UsageError: it is written in another way, or names a program twice.
    """
    versions: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, version = part.partition("=")
        if not (name and equals and version) or name in versions:
            raise UsageError(
                f"{where}: {part!r} is not a program and its version, once each",
                remedy=f"write NAME=VERSION,NAME=VERSION; the names are {', '.join(MOVABLE)}",
            )
        versions[name] = version.removeprefix("v")
    return versions


def parse(file: Path) -> Pins:
    """Read one file of pins.

    Raises:
        UsageError: it cannot be read, is no TOML, or has a key too many or too few.
    """
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not valid TOML: {error}") from error
    for table in _tables(data.get("go")):
        table.setdefault("ldflags", [])
        table.setdefault("image", "")
        table.setdefault("further", [])
        table.setdefault("cgo", [])
    try:
        read = Converter(forbid_extra_keys=True).structure(data, _File)
    except Exception as error:
        wrong = "; ".join(line.replace(" @ $.", " at ") for line in transform_error(error))
        raise UsageError(
            f"{file}: {wrong}", remedy="correct this key; the others stand as they are"
        ) from error
    for name, pin in read.go.items():
        if pin.further and name not in MOVABLE:
            raise UsageError(
                f"{file}: go.{name} has further versions",
                remedy=f"remove them: only {', '.join(MOVABLE)} are run in several",
            )
    choices = {
        name: tuple(table.at(version) for version in dict.fromkeys((table.version, *table.further)))
        for name, table in read.go.items()
    }
    others = {each.name: getattr(read, each.name) for each in fields(_Others)}
    return Pins(**others, go={name: pins[0] for name, pins in choices.items()}, choices=choices)


def _tables(data: object) -> list[dict[str, Any]]:
    return [table for table in data.values() if isinstance(table, dict)] if isinstance(data, dict) else []


def _check_module(file: Path, name: str, pins: Pins) -> None:
    pin, module_file = pins.go[name], pins.module_folder(name) / "go.mod"
    try:
        text = module_file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{file}: go.{name} {pin.version} is pinned, but its module {module_file} cannot be read: "
            f"{error.strerror}"
        ) from error
    found = re.search(rf"^(?:require)?\s*{re.escape(pin.module)}\s+v(\S+)", text, re.MULTILINE)
    if found is None or found[1] != pin.version:
        says = f"requires {found[1]}" if found else f"does not require {pin.module}"
        key = "version is" if pins.is_default(name) else "further has"
        raise UsageError(
            f"{file}: go.{name}.{key} {pin.version}, but {module_file} {says}",
            remedy=f"in {module_file.parent}, run `go get {pin.module}@v{pin.version}`, or correct the pin",
        )


def go_needed(folder: Path) -> str:
    """The Go version that a program's module asks for, such as 1.26.6."""
    text = (folder / "go.mod").read_text(encoding="utf-8")
    found = re.search(r"^go\s+(\S+)", text, re.MULTILINE)
    return found[1] if found else "1.21"
