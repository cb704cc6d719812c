"""A cell's scenarios as a process of their own, which ends by its own way when it is called off."""

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.engine.children import tie_to_us

_TAIL = 12
_WIDTH = "160"


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    exit_code: int
    last: str
    """The last line that says what it came to."""
    tail: tuple[str, ...]
    interrupted: bool


def scenarios(
    folder: Path, versions: str, examples: Path, expression: str, further: Sequence[str]
) -> list[str]:
    """The command that runs scenarios with some versions.

    Args:
        folder: where the scenarios are.
        versions: what --versions is given.
        examples: the folder of jobs.
        expression: what -k is given; empty: every scenario.
        further: more arguments for pytest.
    """
    chosen = ("-k", expression) if expression else ()
    return [
        *(sys.executable, "-m", "pytest", str(folder)),
        *(f"--examples={examples}", f"--versions={versions}", *chosen, *further),
    ]


def run(argv: Sequence[str], log: Path, env: Mapping[str, str], on_line: Callable[[str], None]) -> Ended:
    """Run a command to its end, however that comes.

    Ctrl-C is passed on to it once, and its end is waited for: it removes what it made. The same word comes to
    it from the kernel when this process is killed.

    Args:
        argv: the command.
        log: the file that keeps all that it prints.
        env: variables added to ours.
        on_line: told each line that it prints, as it comes.

    Returns:
        How it ended; a KeyboardInterrupt that came meanwhile is told in it, and not raised.
    """
    tail: deque[str] = deque(maxlen=_TAIL)
    child = subprocess.Popen(
        [*tie_to_us("INT"), *argv],
        env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": _WIDTH, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Of a group of its own, so that a Ctrl-C at the terminal comes to it once, from us.
        start_new_session=True,
    )
    assert child.stdout is not None  # noqa: S101  (given to Popen as a pipe)
    interrupted = False
    with log.open("w", encoding="utf-8") as kept:
        while True:
            try:
                for line in child.stdout:
                    kept.write(line)
                    kept.flush()
                    if line.strip():
                        tail.append(line.rstrip())
                        # As one text: what is in columns there has no columns in a line of ours.
                        on_line(" ".join(line.split()))
                code = child.wait()
                break
            except KeyboardInterrupt:
                interrupted = True
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGINT)
    child.stdout.close()
    return Ended(code, _word(tail), tuple(tail), interrupted)


def _word(tail: Sequence[str]) -> str:
    """The line that says most: below pytest's heading of a refusal, of its list of errors, else the last."""
    for number, line in enumerate(tail):
        if "nothing was run" in line and number + 1 < len(tail):
            return tail[number + 1].strip()
    said = [line for line in tail if line.startswith(("ERROR ", "FAILED "))] or tail
    return said[-1].strip(" =") if said else ""
