"""The commands, each a few lines over the step that does the work. Errors end in one place."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from harness import __version__, assembly
from harness.cli import kept, leaks, shown
from harness.engine import stop_if_unused
from harness.errors import EXIT_USAGE, NoTailCarError
from harness.lab import topology_file
from harness.lab.topology import ControlProgram
from harness.report.terminal import Progress
from harness.run import places
from harness.run.run import Run

_TOPOLOGY = click.option(
    "--topology",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="The lab as data (default: the one that ships with NoTailCar).",
)


# \b keeps click from wrapping what follows it as a paragraph.
_OVERVIEW = """Prove where the traffic of your Nomad jobs goes, in a sealed lab.

\b
notailcar doctor     what is there, what is missing, what to do
pytest scenarios     run the examples as they stand and prove their claims
notailcar up         a lab to keep and play with
"""
_EXEC = """Run COMMAND (default: a shell) in HOST of the kept lab.

\b
notailcar exec node nomad job status
notailcar exec client tailscale status
notailcar exec internet nft list table inet flowbook
"""


_LEAKS = """Print the leak matrix of the last run as a Markdown table: what faults did to each job's traffic.

The run must have let faults befall the examples. The table comes from reports/claims.json, its date and
versions from reports/run.json; NOTAILCAR_REPORTS says where reports are. Nothing is run.

\b
pytest scenarios/test_faults.py --faults all      let every fault befall every example
notailcar leaks                                   see what came of it
notailcar leaks --write docs/security-model.md    put it into the document

--write replaces what stands in FILE between these two lines, and nothing else:

\b
<!-- leaks: begin -->
<!-- leaks: end -->
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, help=_OVERVIEW)
@click.version_option(__version__, prog_name="notailcar")
def cli() -> None:
    """Hold the commands."""


@cli.command()
def doctor() -> None:
    """Say what is there, what is missing and what to do about it; where each image came from, and its size.

    Changes nothing. Exit code 0 when the scenarios can run here, 3 when they cannot.
    """
    sys.exit(shown.findings(Console()))


@cli.command()
@_TOPOLOGY
def prepare(topology: Path | None) -> None:
    """Make every image that the lab and the examples need, once; they are kept in the cache.

    A registry is used when one answers, else the sources of pinned versions are built. Set
    NOTAILCAR_SUPPLY=registry or source to choose, NOTAILCAR_REGISTRY=host:port/prefix for a mirror.
    """
    console = Console()
    with Progress(console) as progress, Run() as run:
        described = topology_file.load(topology or assembly.default_topology())
        assembly.prepare(described, run, progress)
    shown.findings(console)


@cli.command()
@_TOPOLOGY
@click.option(
    "--control",
    type=click.Choice([str(program) for program in ControlProgram]),
    default=str(ControlProgram.HEADSCALE),
    help="The control server: headscale, or labcontrol for Tailscale Services and HTTPS certificates.",
)
def up(topology: Path | None, control: str) -> None:
    """Bring up a lab and keep it, until `notailcar down`."""
    kept.up(topology or assembly.default_topology(), ControlProgram(control), Console())


@cli.command(
    "exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}, help=_EXEC
)
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def execute(host: str, command: Sequence[str]) -> None:
    """Become a command in a host of the kept lab."""
    kept.execute(host, tuple(command) or ("sh",))


@cli.command()
def down() -> None:
    """Remove the kept lab: every container, volume and file of it."""
    kept.down(Console())


@cli.command("leaks", help=_LEAKS)
@click.option(
    "--write",
    "document",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Put the table into this Markdown file, between its markers, instead of printing it.",
)
def show_leaks(document: Path | None) -> None:
    """Print or write the leak matrix of the last run."""
    text = leaks.of_last_run(places.reports())
    if document is None:
        click.echo(text)
    else:
        leaks.put_into(document, text)
        click.echo(f"{document}: the leak matrix is written", err=True)


@cli.command()
@click.option(
    "--all", "everything", is_flag=True, help="Also remove images and builds of versions no longer pinned."
)
def gc(everything: bool) -> None:
    """Remove what dead runs left behind. Nothing of a live run is touched."""
    console = Console()
    with Progress(console) as progress:
        assembly.collect_garbage(progress, everything=everything)
    stop_if_unused(lambda line: console.print(line, highlight=False))


def main() -> None:
    """Run the command line; our own errors become one message on stderr and the contract's exit code."""
    try:
        cli(standalone_mode=False)
    except NoTailCarError as error:
        click.echo(f"notailcar: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("notailcar: interrupted; nothing was left behind", err=True)
        sys.exit(130)
