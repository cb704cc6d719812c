"""Pinned programs as files of this machine: `python -m harness.supply.programs nomad` prints where one is."""

import io
import shutil
import sys
import tarfile
from pathlib import Path

from harness.engine import Engine, find_engine
from harness.errors import NoTailCarError, UsageError
from harness.run import places
from harness.run.run import Run
from harness.supply import PlainProgress, Supply, registry
from harness.supply.ca import ca_pem
from harness.supply.catalogue import Catalogue, Recipe
from harness.supply.image import Image
from harness.supply.pins import Pins, load_pins
from harness.supply.source import programs_folder


def program(name: str, pins: Pins | None = None) -> Path:
    """Give a pinned program as a file that runs here; made on the first call, and kept in the cache.

    Args:
        name: a table of versions.toml's [go], whose first program is meant: nomad, consul, tailscale.
        pins: of which versions; the default ones otherwise.

    Returns:
        The path of what was built from source, or else of what was copied out of the official image.

    Raises:
        UsageError: a pin or a setting is wrong, or there is no such program.
        LabError: it can be made neither way; says why and what to do.
    """
    pins = pins or load_pins()
    source = Catalogue(Recipe.SOURCE, pins, ca_pem(), registry.prefix())
    inside = source.go(name).binaries[0]
    built = programs_folder(source, name) / Path(inside).name
    if built.is_file():
        return built
    with Run() as run, find_engine(run, _say) as engine:
        image = Supply(engine, run, PlainProgress(_say), pins).ensure((name,))[name]
        return built if built.is_file() else copied_out(engine, image, inside, run.folder)


def copied_out(engine: Engine, image: Image, inside: str, scratch: Path) -> Path:
    """Give a file out of an image as one of the cache; the container that it comes by is never started."""
    kept = places.cache() / "binaries" / image.digest[:16] / Path(inside).name
    if kept.is_file():
        return kept
    client = engine.client()
    try:
        container = client.containers.create(image.reference, command="never-run")
        try:
            pieces, _ = container.get_archive(inside)
            packed = io.BytesIO(b"".join(pieces))
        finally:
            container.remove()
    finally:
        client.close()
    part = scratch / kept.name
    with tarfile.open(fileobj=packed) as tar:
        content = tar.extractfile(kept.name)
        if content is None:
            raise UsageError(f"{image.reference}: {inside} is no file", remedy="correct it in versions.toml")
        with part.open("wb") as file:
            shutil.copyfileobj(content, file)
    part.chmod(0o755)
    kept.parent.mkdir(parents=True, exist_ok=True)
    # Complete or not there, and two that do it at once do no harm.
    part.rename(kept)
    return kept


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Print where one program is; gives the exit code."""
    try:
        print(program(arguments[0] if len(arguments) == 1 else ""))
    except NoTailCarError as error:
        _say(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
