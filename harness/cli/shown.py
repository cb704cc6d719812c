"""What `notailcar doctor` prints."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.errors import EXIT_LAB, EXIT_PROVEN
from harness.run import places
from harness.run.run import Run
from harness.supply.doctor import State, inspect

_MARKS = {
    State.OK: Text("ok", style="green"),
    State.WARNING: Text("note", style="yellow"),
    State.MISSING: Text("missing", style="bold red"),
}


def findings(console: Console) -> int:
    """Print what was found, each with what to do about it; the exit code: 3 when something is missing."""
    with Run() as run, console.status("looking at this machine"):
        found = inspect(run)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in found:
        table.add_row(_MARKS[finding.state], finding.name, finding.detail)
        if finding.remedy:
            table.add_row("", "", Text(f"-> {finding.remedy}", style="dim"))
    console.print(table)
    missing = [f.name for f in found if f.state is State.MISSING]
    if missing:
        console.print(f"\nThe scenarios cannot run here yet: {', '.join(missing)}.", highlight=False)
        return EXIT_LAB
    how = "./scripts/runtime/smoke.sh" if places.is_checkout() else "notailcar test JOB"
    console.print(f"\nThe scenarios can run here: {how}", highlight=False)
    return EXIT_PROVEN
