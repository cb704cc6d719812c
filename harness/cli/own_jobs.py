"""`notailcar test`: a job of somebody's own, read, told what it was taken for, and put to the test."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from harness.errors import UsageError
from harness.job import example as examples_of
from harness.job.example import JOB_SUFFIX, SMOKE, Example, read_smoke
from harness.job.first_look import FirstLook, Surroundings, first_look
from harness.job.here import render_here
from harness.lab import policy, topology_file
from harness.lab.topology import Role, Topology
from harness.plugin.keys import EXAMPLES
from harness.probes.stage import site_values
from harness.run import places
from harness.supply.programs import program

_BOTH = "It serves, too; that is proven by a smoke.toml of kind serve, beside a copy in another folder."


@dataclass(frozen=True)
class Asked:
    """What the person asked for."""

    path: Path
    variables: Mapping[str, str]
    topology: Path
    write: bool = False
    run: bool = True
    expression: str = ""
    """Which claims and examples, as pytest's -k takes it."""


def test(asked: Asked, console: Console) -> int:
    """Read what is there, propose what is lacking, run it; gives the exit code.

    Raises UsageError for what cannot be read, with file and line.
    """
    topology = topology_file.load(asked.topology)
    with tempfile.TemporaryDirectory(prefix="notailcar-") as scratch:
        found = _examples(asked, topology, console, Path(scratch))
        if not asked.run:
            return 0
        return _run(found, asked)


def _examples(asked: Asked, topology: Topology, console: Console, scratch: Path) -> list[Example]:
    jobs = _jobs(asked.path)
    if asked.variables and len(jobs) > 1:
        raise UsageError("--var is for one job", remedy=f"name it: {', '.join(j.name for j in jobs)}")
    found: list[Example] = []
    refused: list[UsageError] = []
    for job in jobs:
        try:
            found.append(_example(job, asked, topology, console, scratch))
        except UsageError as error:
            if job == asked.path or len(jobs) == 1:
                raise
            refused.append(error)
            console.print(Text(f"{job}: left out", "bold yellow"))
            console.print(Padding(Text(str(error)), (0, 0, 1, 2)))
    if not found:
        raise UsageError(f"{asked.path}: none of its {len(jobs)} jobs can be tested", log=str(refused[0]))
    return found


def _jobs(path: Path) -> list[Path]:
    if path.is_file():
        if not path.name.endswith(JOB_SUFFIX):
            raise UsageError(f"{path}: a job is a file that ends in {JOB_SUFFIX}", remedy="rename it")
        return [path.absolute()]
    found = sorted(path.glob(f"*{JOB_SUFFIX}")) or sorted(path.glob(f"*/*{JOB_SUFFIX}"))
    if not found:
        what = "there is no job here" if path.is_dir() else "there is no such file or folder"
        raise UsageError(f"{path}: {what}", remedy=f"a job is a file that ends in {JOB_SUFFIX}")
    return [job.absolute() for job in found]


def _example(job: Path, asked: Asked, topology: Topology, console: Console, scratch: Path) -> Example:
    smoke_file = job.parent / SMOKE
    alone = len(list(job.parent.glob(f"*{JOB_SUFFIX}"))) == 1
    if smoke_file.is_file() and alone:
        example = examples_of.load(job.parent)
        console.print(f"{_short(smoke_file)}: is there, and used as it stands", highlight=False)
        smoke = replace(example.smoke, vars={**example.smoke.vars, **asked.variables})
        return replace(example, smoke=smoke)
    nomad = program("nomad")
    around = surroundings(topology)
    look = first_look(job, around, lambda e: render_here(e, nomad, around.values), asked.variables)
    where = smoke_file if asked.write else None
    _show(look, console, where)
    part = scratch / f"{job.name}.{SMOKE}"
    part.write_text(look.proposal.text, encoding="utf-8")
    smoke = read_smoke(part)
    if asked.write:
        _write(smoke_file, look.proposal.text, alone=alone)
        console.print(f"written: {_short(smoke_file)}\n", highlight=False)
    return replace(look.example, smoke=smoke)


def surroundings(topology: Topology) -> Surroundings:
    """What a job meets in a lab of this topology."""
    return Surroundings(
        values=site_values(topology, f"https://{topology.only(Role.CONTROL).names[0]}"),
        exits=tuple(h.name for h in topology.exits),
        tags=policy.tags(policy.file_of(topology)),
        names=tuple(name for host in topology.hosts for name in host.all_names),
    )


def _write(file: Path, text: str, *, alone: bool) -> None:
    if not alone:
        raise UsageError(
            f"{file.parent}: has several jobs, and a {SMOKE} is for one",
            remedy="put the job into a folder of its own, then --write",
        )
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{file}: is there already, and is not written over") from None
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from error


def _show(look: FirstLook, console: Console, written: Path | None) -> None:
    reading, proposal = look.reading, look.proposal
    console.print(Text(f"{_short(look.example.job_file)}: job {reading.job}", "bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for task in reading.tasks:
        table.add_row(task.name, Text(task.part, "cyan"), Text(task.why, "dim"))
    console.print(Padding(table, (0, 0, 1, 2)))
    for line in _taken_for(look):
        console.print(f"  {line}", highlight=False)
    if reading.exits and reading.serve:
        console.print(f"  {_BOTH}", highlight=False)
    console.print(
        f"\nThere is no {SMOKE}, so this one is "
        + ("written" if written else "taken; --write puts it beside the job")
        + ":\n",
        highlight=False,
    )
    shown = Syntax(
        proposal.text.rstrip(), "toml", line_numbers=True, background_color="default", word_wrap=True
    )
    console.print(Padding(shown, (0, 0, 0, 2)))
    if proposal.assumed:
        console.print("\nAssumed, as a job does not say it; edit the line where it is not so:")
        for assumed in proposal.assumed:
            console.print(f"  {SMOKE}:{assumed.line}  {assumed.what}", highlight=False)
    console.print()


def _taken_for(look: FirstLook) -> list[str]:
    reading = look.reading
    lines = []
    if reading.kind == "egress":
        exits = " then ".join((*reading.exits, *reading.fallback))
        guard = ", ".join(reading.of("guard")) or "nothing: a claim will say what that comes to"
        lines += [
            f"It leaves by an exit node: {exits}.",
            f"What waits for the exit before a worker starts: {guard}.",
        ]
        if reading.confined:
            lines.append("Its workers have no network of their own.")
        elif not reading.proxied:
            lines.append("No worker is told of a proxy in its environment: it may go out directly.")
    else:
        what = ", ".join(p.url or f"tcp://{p.tcp}" for p in reading.serve)
        lines.append(f"It serves to the tailnet: {what}.")
    key = reading.auth_key
    lines.append(f"It reads its auth key from item {key.item} of the Nomad Variable {key.variable}.")
    return lines


def _short(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


class _Given:
    """A plugin that gives a session its examples, as some of them stand in no file."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = list(examples)

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Put them where the plugin looks first."""
        config.stash[EXAMPLES] = self._examples


def _run(examples: Sequence[Example], asked: Asked) -> int:
    arguments = [
        # Whatever this folder sets up for its own tests is none of this run's business.
        *("-c", str(places.fixtures() / "pytest.ini"), "--rootdir", str(Path.cwd())),
        # pytest warns that the harness, which has called it, is imported already.
        *("-p", "no:cacheprovider", "--disable-warnings"),
        *("--no-header", "--quiet", "-rN", "--topology", str(asked.topology), "--examples", str(asked.path)),
        *(("-k", asked.expression) if asked.expression else ()),
    ]
    return int(pytest.main(arguments, plugins=[_Given(examples)]))
