"""What changed since the last green run, as lines on the terminal."""

import time

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.claims.verdict import Outcome
from harness.report.changes import Changes, words

_STYLES = {Outcome.PROVEN: "green", Outcome.REFUTED: "bold red", Outcome.UNPROVEN: "yellow"}


def block(changes: Changes) -> RenderableType:
    """Give what changed as a block of lines; there must be something that differs."""
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(changes.since.began))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for outcome in (Outcome.REFUTED, Outcome.UNPROVEN):
        if keys := [key for key, found in changes.lost.items() if found is outcome]:
            table.add_row(Text(f"{outcome} now", _STYLES[outcome]), Text(words(keys)))
    for said, style, found in (
        ("proven again", "green", changes.regained),
        ("judged first", "", changes.new),
        ("not in this run", "dim", changes.absent),
    ):
        if found:
            table.add_row(Text(said, style), Text(words(found), "dim" if style == "dim" else ""))
    for slow in changes.slower:
        ratio = f"{slow.seconds:.1f} s, {slow.ratio:.1f} times as long as usual"
        table.add_row(Text("slower", "yellow"), Text(slow.stage).append(f"  {ratio}", "dim"))
    title = Text("Since the last green run", "bold").append(f", {changes.since.run} ({when})", "dim not bold")
    return Group(title, table)
