"""`notailcar matrix`: reads what is wished, has the cells run, and shows what came of them."""

import os
import sys
from pathlib import Path

from rich.console import Console

from harness.errors import UsageError
from harness.job import example
from harness.matrix import cells, running, shown
from harness.matrix.running import Wanted
from harness.report.terminal import Progress
from harness.run import places
from harness.supply.pins import load_pins

INTERRUPTED = 130
FEW = "egress-worker or private-http-service"
"""What runs where nothing is chosen: workers, plain and sealed, and a service."""


def read_list(text: str) -> tuple[str, ...]:
    """Versions as a person gives them: comma separated, with or without a v before them."""
    return tuple(part.strip().removeprefix("v") for part in text.split(",") if part.strip())


def run(wishes: dict[str, str], wanted: Wanted, *, product: bool, console: Console) -> int:
    """Run a version matrix and show it.

    Args:
        wishes: versions by program, as the person gave them.
        wanted: what is run in every cell.
        product: every combination.
        console: where it is shown.

    Returns:
        The exit code: of the worst cell, or 130 after Ctrl-C.

    Raises:
        UsageError: a version has no pin, or a folder is not there.
    """
    chosen = cells.cells(load_pins(), {n: read_list(text) for n, text in wishes.items()}, product=product)
    if not wanted.scenarios.is_dir():
        raise UsageError(
            f"{wanted.scenarios}: there is no such folder of scenarios",
            remedy="run it where they are, or name it with --scenarios PATH",
        )
    example.find(wanted.examples.absolute())
    reports = places.reports()
    with Progress(console) as progress:
        many = f"{len(chosen)} cell{'' if len(chosen) == 1 else 's'}"
        progress.note(f"{many}: {', '.join(cell.name for cell in chosen)}. {wanted.words}.")
        matrix = running.run(chosen, wanted, reports, progress)
    console.print()
    console.print(shown.table(matrix, _near(reports)))
    console.print(f"\n{matrix.headline}.", style="bold", highlight=False)
    for name in (shown.PAGE, shown.DATA):
        console.print(_near(reports / name), highlight=False, soft_wrap=True)
    sys.stdout.flush()
    return INTERRUPTED if matrix.interrupted else matrix.exit_code


def _near(file: Path) -> str:
    """A path as short as it may be said from here."""
    here = os.path.relpath(file)
    return str(file) if here.startswith("..") else here
