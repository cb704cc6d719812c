"""Commands as a user gives them: own processes, on a terminal or not, and what they print as it comes."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.management.waiting import wait_until
from harness.run import places

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
SCENARIOS = ("pytest", "scenarios", "-p", "no:cacheprovider")
_END_SECONDS = 90
_MOVEMENT = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
MARK = "NOTAILCAR_TESTED_BY"
"""A variable that every local process of a command inherits: how those that outlive it are found."""


class Command:
    """Owns one command of the user's, with reports and temporary files of its own.

    Attributes:
        home: holds its reports and its temporary files.
        reports: what NOTAILCAR_REPORTS says.
        mark: the value of `MARK` in its environment, and in that of its children.
    """

    def __init__(self, home: Path, argv: Sequence[str], *, on_terminal: bool = False) -> None:
        """Start `argv`, a program of this environment, in the repository's folder, on a terminal or not."""
        home.mkdir(parents=True)
        self.home = home
        self.reports = home / "reports"
        self.temporary = home / "tmp"
        self.temporary.mkdir()
        self.mark = f"{os.getpid()}:{home}"
        self.began = time.time()
        self._said = ""
        self._news = threading.Condition()
        ours, theirs = pty.openpty() if on_terminal else os.pipe()
        self._process = subprocess.Popen(
            # setsid makes the terminal the controlling one: its Ctrl-C goes to the whole foreground group.
            [*(("setsid", "--ctty", "--wait") if on_terminal else ()), str(PROGRAMS / argv[0]), *argv[1:]],
            cwd=REPOSITORY,
            env=self._environment(),
            stdin=theirs if on_terminal else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=not on_terminal,
        )
        os.close(theirs)
        self._output = ours
        self._on_terminal = on_terminal
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _environment(self) -> dict[str, str]:
        ours = ("PYTEST_", "COLUMNS", "NOTAILCAR_REPORTS")
        # With CI set, pytest repeats in its summary what it has said before.
        kept = {n: v for n, v in os.environ.items() if not n.startswith(ours) and n != "CI"}
        return {
            **kept,
            "NOTAILCAR_REPORTS": str(self.reports),
            "TMPDIR": str(self.temporary),
            MARK: self.mark,
        }

    def _read(self) -> None:
        while True:
            try:
                read = os.read(self._output, 65536)
            except OSError:  # a terminal's other side is gone
                read = b""
            with self._news:
                self._said += read.decode("utf-8", "replace")
                self._news.notify_all()
            if not read:
                return

    @property
    def output(self) -> str:
        """All that it has printed so far, without a terminal's colours and movements."""
        with self._news:
            return self._plain()

    def _plain(self) -> str:
        return _MOVEMENT.sub("", self._said).replace("\r\n", "\n")

    @property
    def run(self) -> str:
        """The id of its run, as soon as it has one."""
        folder = self.reports / "runs"
        return wait_until(
            lambda: next((p.name for p in folder.iterdir()), None) if folder.is_dir() else None,
            seconds=20,
            what="the command opens its reports",
            tail=lambda: self.output,
        )

    @property
    def scratch(self) -> Path:
        """The folder of its run in the cache."""
        return places.runs() / self.run

    def still_runs(self) -> bool:
        """Always true: fails when it has ended."""
        assert self._process.poll() is None, f"it has ended:\n{self.output}"
        return True

    def wait_for(self, pattern: str, seconds: float = 60) -> None:
        """Wait until it has printed a pattern."""
        with self._news:
            found = self._news.wait_for(
                lambda: re.search(pattern, self._plain()) or not self._reader.is_alive(), seconds
            )
            assert found, f"{pattern} did not come in {seconds:g} s:\n{self._plain()}"
            assert re.search(pattern, self._plain()), f"it ended without {pattern}:\n{self._plain()}"

    def wait_for_fact(self, part: str, seconds: float = 60) -> None:
        """Wait until a line of its ledger holds a text."""
        ledger = self.reports / "runs" / self.run / "ledger.jsonl"
        wait_until(
            lambda: self.still_runs() and ledger.exists() and part in ledger.read_text(encoding="utf-8"),
            seconds=seconds,
            what=f"the ledger holds {part}",
            tail=lambda: self.output,
        )

    def press_ctrl_c(self) -> None:
        """As a person does: at the terminal, which interrupts every process of the foreground."""
        assert self._on_terminal
        os.write(self._output, b"\x03")

    def send(self, number: signal.Signals) -> None:
        """Signal the command, and none of its children."""
        self._process.send_signal(number)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stop it for the length of the block, so that the moment lasts as long as a look at it takes."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    def wait(self, seconds: float = _END_SECONDS) -> int:
        """Its exit code; all that it printed has then been read."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s:\n{self.output}") from None
        # A child that outlives it may hold its output open: that is looked for elsewhere.
        self._reader.join(2)
        return code

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End it as the kernel does when memory is short: it hears nothing of it."""
        self.send(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.send(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        self._reader.join(2)
        os.close(self._output)
