"""Measures the whole against the floor, in turns, and one idle lab; writes reports/bench.json."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench import memory
from bench.measured import ROOT, Execution, RunError, Whole, floor, whole
from bench.memory import Memory

RESULTS = ROOT / "reports" / "bench.json"
READY_AT_MOST = 6.0  # seconds, warm
WHOLE_AT_MOST = 20.0  # seconds, from Enter to report
RATIO_AT_MOST = 1.25
MEMORY_AT_MOST = 700.0  # MB


@dataclass(frozen=True)
class Machine:
    """Where the figures come from."""

    cores: int
    memory_gb: float
    kernel: str
    python: str


@dataclass(frozen=True)
class Results:
    """All that was measured."""

    machine: Machine
    whole: Sequence[Whole]
    floor: Sequence[Execution]
    memory: Memory | None

    @property
    def ratios(self) -> list[float]:
        """The whole over the floor, pair by pair: what the machine does besides changes slowly."""
        return [w.seconds / f.seconds for w, f in zip(self.whole, self.floor, strict=True)]


def machine() -> Machine:
    """This machine."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        len(os.sched_getaffinity(0)), round(size / 1e9, 1), platform.release(), platform.python_version()
    )


def measure(runs: int, console: Console, *, with_memory: bool) -> Results:
    """Run both in turns after one warm-up. Raises RunError or LabError."""
    wholes, floors = [], []
    console.print("warm-up")
    floor(whole())
    for number in range(1, runs + 1):
        wholes.append(whole())
        floors.append(floor(wholes[-1]))
        console.print(
            f"{number} of {runs}: whole {wholes[-1].seconds:.1f} s, floor {floors[-1].seconds:.1f} s, "
            f"load {wholes[-1].load:.1f} and {floors[-1].load:.1f}"
        )
    if with_memory:
        console.print("memory of one idle lab")
    return Results(machine(), wholes, floors, memory.of_idle_lab() if with_memory else None)


def _figures(values: Iterable[float], form: str = ".2f") -> tuple[str, str, str]:
    found = list(values)
    return (f"{statistics.median(found):{form}}", f"{min(found):{form}}", f"{max(found):{form}}")


def _stages(executions: Sequence[Execution]) -> dict[str, list[float]]:
    """The seconds of each stage in every execution, in the order of the first."""
    return {name: [e.stages[name] for e in executions if name in e.stages] for name in executions[0].stages}


def _table(title: str, rows: Mapping[str, Iterable[float]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("seconds", min_width=44)
    for column in ("median", "min", "max"):
        table.add_column(column, justify="right")
    for name, values in rows.items():
        table.add_row(name, *_figures(values))
    return table


def _verdicts(results: Results) -> Table:
    table = Table(title="what it must show", title_justify="left", title_style="bold")
    for column in ("", "median", "min", "max", "at most"):
        table.add_column(column, justify="left" if not column else "right")
    rows: list[tuple[str, list[float], float, str]] = [
        ("lab ready, s from its first stage", [w.booted for w in results.whole], READY_AT_MOST, ".2f"),
        ("from Enter to report, s", [w.seconds for w in results.whole], WHOLE_AT_MOST, ".2f"),
        ("whole over floor", results.ratios, RATIO_AT_MOST, ".3f"),
    ]
    if results.memory:
        rows.append(
            ("memory of one idle lab, MB", [sum(results.memory.used.values())], MEMORY_AT_MOST, ".0f")
        )
    for name, values, bound, form in rows:
        style = "green" if statistics.median(values) <= bound else "bold red"
        table.add_row(name, *_figures(values, form), f"{bound:g}", style=style)
    return table


def show(results: Results, console: Console) -> None:
    """Print the tables."""
    of = results.machine
    console.print(f"\n{of.cores} cores, {of.memory_gb:g} GB, Linux {of.kernel}, Python {of.python}\n")
    ready = {
        "Enter to lab ready": [w.ready for w in results.whole],
        "whole": [w.seconds for w in results.whole],
        "whole, CPU": [w.cpu for w in results.whole],
    }
    console.print(_table("the whole: smoke.sh", {**_stages(results.whole), **ready}))
    ended = {"floor": [f.seconds for f in results.floor], "floor, CPU": [f.cpu for f in results.floor]}
    console.print(_table("the floor: by hand", {**_stages(results.floor), **ended}))
    if results.memory:
        table = Table(title="one idle lab", title_justify="left", title_style="bold")
        for column in ("MB", "used", "of it anonymous"):
            table.add_column(column, justify="left" if column == "MB" else "right")
        for host, used in sorted(results.memory.used.items(), key=lambda item: -item[1]):
            table.add_row(host, f"{used:.0f}", f"{results.memory.anonymous[host]:.0f}")
        console.print(table)
    console.print(_verdicts(results))


def write(results: Results, file: Path) -> None:
    """Keep everything as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data = {**asdict(results), "ratios": results.ratios}
    file.write_text(json.dumps(data, indent=1, default=str) + "\n", encoding="utf-8")


@click.command(help=__doc__)
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True, help="Pairs of runs.")
@click.option("--memory/--no-memory", "with_memory", default=True, help="Whether to look at an idle lab too.")
def main(runs: int, *, with_memory: bool) -> None:
    """Measure, print, keep."""
    console = Console()
    try:
        results = measure(runs, console, with_memory=with_memory)
    except RunError as error:
        raise click.ClickException(str(error)) from error
    write(results, RESULTS)
    show(results, console)
    console.print(f"\nall of it: {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
