"""One run of egress-guard.sh, as the job's prestart task runs it."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.toolkit import programs

EXIT_CODES = {
    "setting": 10,
    "key": 11,
    "socket": 12,
    "refused": 13,
    "login timeout": 14,
    "exit": 15,
    "address": 16,
    "no answer": 17,
    "not an address": 18,
    "stopped": 143,
}


@dataclass(frozen=True)
class Ran:
    """What a guard came to."""

    code: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """The one line that says why it refused."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        prefix = "egress-guard: refused: "
        assert lines[0].startswith(prefix), self.err
        return lines[0].removeprefix(prefix)


def command(sh: str = "dash") -> list[str]:
    """The guard's command line."""
    return [*programs.shell(sh), str(programs.GUARD)]


def run(folder: Path, environment: dict[str, str], *, sh: str = "dash") -> Ran:
    """Run the guard to its end, with `folder` as its task folder and nothing else of this environment."""
    done = subprocess.run(
        command(sh),
        env={
            "PATH": os.environ["PATH"],
            "NOMAD_TASK_DIR": str(folder),
            "TAILNET_NAME": "worker",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert not list(folder.glob("egress-guard.*")), "it leaves its scratch folder behind"
    return Ran(done.returncode, done.stdout, done.stderr)
