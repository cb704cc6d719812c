"""The commands, each a few lines over the step that does the work. Errors end in one place."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

import harness
from harness import assembly
from harness.cli import gate, kept, leaks, own_jobs, shown, versions
from harness.engine import stop_if_unused
from harness.errors import EXIT_USAGE, NoTailCarError
from harness.lab import topology_file
from harness.lab.topology import ControlProgram
from harness.live import site as live_site
from harness.matrix.running import Wanted
from harness.report.record import LAB, LIVE
from harness.report.terminal import Progress, console_on
from harness.run import places
from harness.run.run import Run
from harness.supply.pins import load_pins, read_versions

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
notailcar test JOB   read a job of your own, say what it promises, prove it
pytest scenarios     run the examples as they stand and prove their claims
notailcar matrix     the same over several versions of Nomad, tailscale and headscale
notailcar gate       decide whether that is enough
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

REPORTS are the folders of other runs than the last. Several become one table, in which the worst verdict
on an example and a fault stands: so that faults, which take long, can be run a few at a time.

\b
pytest scenarios/test_faults.py --faults all      let every fault befall every example
notailcar leaks                                   see what came of it
notailcar leaks --write docs/security-model.md    put it into the document

--write replaces what stands in FILE between these two lines, and nothing else:

\b
<!-- leaks: begin -->
<!-- leaks: end -->
"""

_TEST = """Put a job of your own to the test: PATH is a *.nomad.hcl, or a folder of jobs.

The job is read as Nomad reads it. You are told what it was taken for: which task is the sidecar, what guards
the exit, where it leaves, what it serves. A smoke.toml beside it is used as it stands; where there is none,
one is proposed, with what had to be assumed, and the line to edit where that is not so. Then it runs in the
sealed lab, and its claims are proven, or not.

\b
notailcar test jobs/crawler.nomad.hcl             read it, propose, run
notailcar test --write jobs/crawler.nomad.hcl     the same, and keep the smoke.toml beside it
notailcar test --no-run jobs                      only say what each job is taken for
notailcar test --var exit_node=exit-b my.nomad.hcl

Exit codes: 0 all claims proven, 1 a claim refuted or unproven, 2 the job cannot be read, 3 the lab failed.
"""

_WHERE = """Print the folder of something that ships with NoTailCar.

\b
scenarios   what proves claims: pytest "$(notailcar where scenarios)" tests --examples jobs
modules     nomad/: sidecar, guard and gate to paste into a job of your own
scripts     tailscale/: the scripts that they name
acl         the tailnet's policy in the lab
fixtures    the lab as data: topology.toml, versions.toml
"""


_GATE = """Decide by the reports of the last run whether it is enough: for a release, a merge, the night.

Reads reports/claims.json and reports/run.json, prints every reason, and writes reports/gate.xml (JUnit)
beside them. Nothing is run. Without --require every claim that can be made of every example in ./examples
must be proven, by a run of the commit that is checked out, without edits, at most 24 hours ago.

\b
./scripts/runtime/smoke.sh && notailcar gate          run, then decide
notailcar gate --require gates/release.toml           decide by a policy
notailcar gate --all                                  show also what is met

gates/release.toml in NoTailCar's repository has every key of a policy, each with a comment. A claim that is
missing, an example that is not in the run, reports that are not there, a rule that asks for nothing: all of
these refuse.

\b
Exit codes: 0 it is enough, 1 it is not, 2 the policy or the reports cannot be read
"""


_MATRIX = f"""Run the scenarios over several versions of Nomad, tailscale and headscale, and show a table.

A cell is one combination of versions. There is a cell with the default versions, and one for each further
version that is pinned, alone against the defaults; --nomad, --tailscale and --headscale choose among them,
and a program that is not named then stays at its default. Every cell runs the real scenarios as a process of
its own, with its reports in reports/matrix/CELL; reports/versions.html links them, reports/versions.json is
for scripts.

\b
notailcar matrix                                    three examples in every cell
notailcar matrix --nomad 1.10.5 -k egress           one cell, scenarios by pytest's -k
notailcar matrix --all --product                    everything, in every combination
notailcar matrix -- -n auto --faults exit-deleted   what follows -- is pytest's

Exit code: that of the worst cell. 1 when a claim is refuted or unproven in any, 3 when a lab failed, 2 for
wrong use, 0 when all is proven. Ctrl-C ends the running cell and shows what was done.
Without -k and --all: {versions.FEW}.
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, help=_OVERVIEW)
@click.version_option(harness.__version__, prog_name="notailcar")
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
@click.option(
    "--all-versions",
    is_flag=True,
    help="Also those with the further versions of versions.toml, which `notailcar matrix` runs.",
)
def prepare(topology: Path | None, all_versions: bool) -> None:
    """Make every image that the lab and the examples need, once; they are kept in the cache.

    A registry is used when one answers, else the sources of pinned versions are built. Set
    NOTAILCAR_SUPPLY=registry or source to choose, NOTAILCAR_REGISTRY=host:port/prefix for a mirror.
    """
    console = Console()
    with Progress(console) as progress, Run() as run:
        described = topology_file.load(topology or assembly.default_topology())
        assembly.prepare(described, run, progress, further=all_versions)
    shown.findings(console)


@cli.command()
@_TOPOLOGY
@click.option(
    "--control",
    type=click.Choice([str(program) for program in ControlProgram]),
    default=str(ControlProgram.HEADSCALE),
    help="The control server: headscale, or labcontrol for Tailscale Services and HTTPS certificates.",
)
@click.option(
    "--versions",
    metavar="NAME=VERSION,...",
    default="",
    envvar="NOTAILCAR_VERSIONS",
    show_envvar=True,
    help="Further pinned versions of nomad, tailscale or headscale in the place of the defaults, "
    "such as nomad=1.10.5.",
)
def up(topology: Path | None, control: str, versions: str) -> None:
    """Bring up a lab and keep it, until `notailcar down`."""
    pins = load_pins(read_versions(versions, "--versions"))
    kept.up(topology or assembly.default_topology(), ControlProgram(control), pins, Console())


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


@cli.command("test", help=_TEST)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--write", is_flag=True, help="Put the proposed smoke.toml beside the job, where none is.")
@click.option("--no-run", is_flag=True, help="Only read and propose; no lab is brought up.")
@click.option(
    "--var",
    "assignments",
    metavar="NAME=VALUE",
    multiple=True,
    help="An HCL variable of the job; repeatable.",
)
@click.option("-k", "expression", metavar="EXPRESSION", default="", help="Only claims and jobs that match.")
@_TOPOLOGY
def test_job(
    path: Path,
    *,
    write: bool,
    no_run: bool,
    assignments: Sequence[str],
    expression: str,
    topology: Path | None,
) -> None:
    """Read a job, propose what it promises, prove it."""
    if wrong := [each for each in assignments if "=" not in each]:
        raise click.BadParameter(f"{wrong[0]} is not NAME=VALUE", param_hint="--var")
    asked = own_jobs.Asked(
        path,
        dict(each.split("=", 1) for each in assignments),
        topology or assembly.default_topology(),
        write=write,
        run=not no_run,
        expression=expression,
    )
    sys.exit(own_jobs.test(asked, console_on(sys.stdout)))


@cli.command("where", help=_WHERE)
@click.argument("what", type=click.Choice(["scenarios", "modules", "scripts", "acl", "fixtures"]))
def show_where(what: str) -> None:
    """Print the folder of something that ships."""
    click.echo(places.data(what))


@cli.command(help=_MATRIX)
@click.option("--nomad", metavar="V[,V]", default="", help="Versions of Nomad (default: every pinned one).")
@click.option("--tailscale", metavar="V[,V]", default="", help="Versions of tailscale, in lab and sidecars.")
@click.option("--headscale", metavar="V[,V]", default="", help="Versions of headscale.")
@click.option("--product", is_flag=True, help="Every combination, not each further version alone.")
@click.option(
    "-k", "expression", metavar="EXPRESSION", default="", help="The scenarios, as pytest's -k has it."
)
@click.option("--all", "everything", is_flag=True, help="Every scenario of every example.")
@click.option(
    "--examples",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("examples"),
    help="The folder of jobs (default: examples).",
)
@click.option(
    "--scenarios",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("scenarios"),
    help="The folder of scenarios (default: scenarios).",
)
@click.argument("further", nargs=-1, metavar="[-- PYTEST_ARGUMENTS...]", type=click.UNPROCESSED)
def matrix(  # noqa: PLR0917  (click gives them by name)
    nomad: str,
    tailscale: str,
    headscale: str,
    product: bool,
    expression: str,
    everything: bool,
    examples: Path,
    scenarios: Path,
    further: Sequence[str],
) -> None:
    """Run the scenarios over several versions."""
    if everything and expression:
        raise click.UsageError("--all and -k EXPRESSION: give one of them")
    wanted = Wanted(scenarios, examples, "" if everything else expression or versions.FEW, tuple(further))
    wishes = {"nomad": nomad, "tailscale": tailscale, "headscale": headscale}
    sys.exit(versions.run(wishes, wanted, product=product, console=Console()))


@cli.command("leaks", help=_LEAKS)
@click.argument("reports", nargs=-1, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--write",
    "document",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Put the table into this Markdown file, between its markers, instead of printing it.",
)
def show_leaks(reports: tuple[Path, ...], document: Path | None) -> None:
    """Print or write the leak matrix of the last run, or of those that are named."""
    text = leaks.of_runs(*(reports or (places.reports(),)))
    if document is None:
        click.echo(text)
    else:
        leaks.put_into(document, text)
        click.echo(f"{document}: the leak matrix is written", err=True)


@cli.command("gate", help=_GATE)
@click.option(
    "--require",
    "policy",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="What must be proven, as TOML (default: everything, today, of this commit).",
)
@click.option(
    "--reports",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Where the reports are (default: NOTAILCAR_REPORTS, else reports/).",
)
@click.option("--all", "everything", is_flag=True, help="Show also what is met.")
def decide(policy: Path | None, reports: Path | None, everything: bool) -> None:
    """Decide whether the last run is enough."""
    folder = places.reports() if reports is None else reports.absolute()
    sys.exit(gate.decide_on(folder, policy, Console(highlight=False), everything=everything))


@cli.command()
@click.option(
    "--all", "everything", is_flag=True, help="Also remove images and builds of versions no longer pinned."
)
@click.option(
    "--site",
    type=click.Choice([LAB, LIVE]),
    default=LAB,
    help="Where: on this machine, or on the cluster and the tailnet that the settings of env.template name.",
)
def gc(everything: bool, site: str) -> None:
    """Remove what dead runs left behind. Nothing of a run that lives is touched.

    On a live site that is every job, Variable, auth key and tailnet node of a run of this machine that has
    ended, and of other machines' two hours after they began: found by the marks that all of them have.
    """
    console = Console()
    if site == LIVE:
        gone = live_site.collect_garbage(os.environ)
        for what in gone:
            console.print(f"removed {what}", highlight=False)
        if not gone:
            console.print("dead runs left nothing there", highlight=False)
        return
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
