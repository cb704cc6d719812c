"""Every version of the lab, from fixtures/versions.toml, held against the Go modules that repeat some."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cattrs import Converter, transform_error

from harness.errors import UsageError
from harness.run import places

FILE = "versions.toml"


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
class Pins:
    """All pins."""

    go: dict[str, GoPin]
    golang: GolangPin
    debian: DebianPin
    python: PackagePin
    redis: PackagePin
    report: ReportPin


def module_folder(name: str) -> Path:
    """Where the Go module of a program is: its go.mod and go.sum pin all that it is built from."""
    return places.fixtures() / "go" / name


def load_pins() -> Pins:
    """Read the pins and check them against the Go modules.

    Raises:
        UsageError: the file is missing or wrong (it names the key), or a go.mod requires another version.
    """
    file = places.fixtures() / FILE
    pins = parse(file)
    for name, pin in pins.go.items():
        _check_module(file, name, pin)
    return pins


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
    try:
        return Converter(forbid_extra_keys=True).structure(data, Pins)
    except Exception as error:
        wrong = "; ".join(line.replace(" @ $.", " at ") for line in transform_error(error))
        raise UsageError(
            f"{file}: {wrong}", remedy="correct this key; the others stand as they are"
        ) from error


def _tables(data: object) -> list[dict[str, Any]]:
    return [table for table in data.values() if isinstance(table, dict)] if isinstance(data, dict) else []


def _check_module(file: Path, name: str, pin: GoPin) -> None:
    module_file = module_folder(name) / "go.mod"
    try:
        text = module_file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{file}: go.{name} is pinned, but its module {module_file} cannot be read: {error.strerror}"
        ) from error
    found = re.search(rf"^(?:require)?\s*{re.escape(pin.module)}\s+v(\S+)", text, re.MULTILINE)
    if found is None or found[1] != pin.version:
        says = f"requires {found[1]}" if found else f"does not require {pin.module}"
        raise UsageError(
            f"{file}: go.{name}.version is {pin.version}, but {module_file} {says}",
            remedy=f"in {module_file.parent}, run `go get {pin.module}@v{pin.version}`, or correct the pin",
        )


def go_needed(name: str) -> str:
    """The Go version that a program's module asks for, such as 1.26.6."""
    text = (module_folder(name) / "go.mod").read_text(encoding="utf-8")
    found = re.search(r"^go\s+(\S+)", text, re.MULTILINE)
    return found[1] if found else "1.21"
