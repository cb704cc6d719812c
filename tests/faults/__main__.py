"""Lays out what docs/security-model.md measures: `python -m tests.faults FOLDER`."""

import shutil
from pathlib import Path

import click

from tests.faults.patterns import lay_out
from tests.robustness.commands import REPOSITORY

_OURS = frozenset({"examples", "scripts"})


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def main(folder: Path) -> None:
    """Lay out, as examples in FOLDER/examples, the patterns of the leak matrix in docs/security-model.md.

    What an earlier call has laid out in FOLDER is replaced. Nothing is run.
    """
    others = sorted({entry.name for entry in folder.iterdir()} - _OURS) if folder.is_dir() else []
    if others or folder.resolve() == REPOSITORY:
        holds = ", ".join(others[:3]) or "this repository"
        raise click.UsageError(f"{folder} holds {holds}: name a new folder")
    for name in _OURS:
        shutil.rmtree(folder / name, ignore_errors=True)
    click.echo(f"{lay_out(folder)}: laid out")


main()
