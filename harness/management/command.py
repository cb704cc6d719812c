"""The result of a command in a host of the lab."""

import shlex
from dataclasses import dataclass

from harness.errors import LabError

_TAIL_LINES = 12


@dataclass(frozen=True)
class CommandResult:
    """What a command did: its streams as text, its exit code, and how long it took in seconds."""

    host: str
    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    seconds: float

    def expect(self, *codes: int) -> "CommandResult":
        """Give itself back when the exit code is 0, or one of `codes`; else raise LabError with a tail."""
        __tracebackhide__ = True
        if self.exit_code in (codes or (0,)):
            return self
        tail = (self.stderr.strip() or self.stdout.strip()).splitlines()[-_TAIL_LINES:]
        raise LabError(
            f"{self.host}: `{shlex.join(self.argv)[:200]}` ended with exit code {self.exit_code}",
            log="\n".join(tail),
        )
