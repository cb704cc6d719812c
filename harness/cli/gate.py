"""`notailcar gate`: the reports and the policy read, the decision shown, and its JUnit file written."""

import time
from pathlib import Path

from rich.console import Console

from harness.errors import EXIT_PROVEN, EXIT_REFUTED, UsageError
from harness.gate import examples, junit, policy, shown
from harness.gate import reports as left
from harness.gate.decide import Now, decide
from harness.gate.policy import Policy
from harness.report.files import write_whole
from harness.run import checkout

JUNIT = "gate.xml"


def decide_on(reports: Path, file: Path | None, console: Console, *, everything: bool) -> int:
    """Decide whether the reports of a folder are enough, say why, and write gate.xml into that folder.

    Args:
        reports: the folder with claims.json and run.json.
        file: the policy; None for the built-in one.
        console: where the decision is shown.
        everything: whether what is met is shown, too.

    Returns:
        The exit code: 0 it is enough, 1 it is not.

    Raises:
        UsageError: the policy, the examples or the reports cannot be read, or gate.xml cannot be written.
    """
    asked = Policy() if file is None else policy.read(file)
    folder = policy.folder_of(asked, file)
    with console.status("reading the reports"):
        found = left.read(reports)
        if folder is not None:
            expected = examples.in_folder(folder)
        else:
            expected = () if found.record is None else examples.in_run(found.record)
        decision = decide(asked, found, expected, Now(time.time(), checkout.commit()))
    called = shown.words(asked) if file is None else str(file)
    console.print(shown.shown(decision, found.record, called, everything=everything))
    try:
        write_whole(reports / JUNIT, junit.xml(decision))
    except OSError as error:
        raise UsageError(
            f"{reports / JUNIT}: cannot be written: {error.strerror}",
            remedy="name a folder that can be written to with --reports",
        ) from error
    page = reports / "matrix.html"
    console.print(f"\nall requirements  {shown.path(reports / JUNIT)}", style="dim", soft_wrap=True)
    if not decision.passed and page.is_file():
        console.print(f"evidence          {shown.path(page)}", style="dim", soft_wrap=True)
    return EXIT_PROVEN if decision.passed else EXIT_REFUTED
