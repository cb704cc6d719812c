"""Progress: stages that run side by side, alive on a terminal and as plain lines elsewhere."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from harness.report.record import Stage

STILL = 10.0
"""Seconds after which a stage that goes on is said to do so, and again after as many more."""
_NAME_WIDTH = 16
_REFRESHES = 8


def _nobody(_: "News") -> None:
    """Nobody is told."""


class What(StrEnum):
    """What may become of a stage."""

    BEGUN = "begun"
    UPDATED = "updated"
    ENDED = "ended"
    NOTED = "noted"


@dataclass(frozen=True)
class News:
    """One thing that became of a stage, for who shows it elsewhere; or, without a stage, a note."""

    what: What
    at: float
    """On the machine's monotonic clock, which all of its processes share."""
    stage: int = 0
    """A number of its own for each stage of one `Progress`."""
    name: str = ""
    text: str = ""
    """Its detail, what it is at work on, how it failed (empty: it did not), or the note."""


class RunningStage:
    """A stage that goes on now."""

    def __init__(self, name: str, detail: str, began: float | None = None) -> None:
        self.name = name
        self.detail = detail
        self.at_work_on = ""
        self.began = time.monotonic() if began is None else began
        self.said = self.began
        self.number = 0
        self.tell: Callable[[News], None] = _nobody

    def update(self, detail: str) -> None:
        """Say what it does at this moment, in a few words."""
        self.at_work_on = detail
        self.tell(News(What.UPDATED, time.monotonic(), self.number, self.name, detail))

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self.began


class Progress:
    """Shows stages and keeps their times. Stages may be entered from several threads at once.

    On a terminal, running stages live at the bottom and each becomes one line when it ends. Elsewhere
    a stage is one line when it ends, and one more for every `STILL` seconds that it goes on. It may be
    entered again after it was left: the times go on.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        still: float = STILL,
        tell: Callable[[News], None] | None = None,
    ) -> None:
        """Show on `console`, or on standard output, and `tell` of all that becomes of a stage."""
        self._tell = tell or _nobody
        self._numbers = itertools.count(1)
        self._console = console or Console()
        self._still = still
        self._lock = threading.Lock()
        self._running: list[RunningStage] = []
        self._ended: list[Stage] = []
        self._began: float | None = None
        self._live: Live | None = None
        self._quit = threading.Event()
        self._ticker: threading.Thread | None = None
        utf = (self._console.encoding or "").lower().startswith("utf")
        self._marks = ("✓", "✗") if utf else ("ok", "failed")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages that have ended, in the order in which they began."""
        with self._lock:
            return tuple(sorted(self._ended, key=lambda s: s.began))

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[RunningStage]:
        """Begin a stage; leaving it ends it, well or with the exception."""
        running = self.begin(name, detail)
        try:
            yield running
        except BaseException as error:
            self.end(running, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        self.end(running)

    def begin(self, name: str, detail: str = "", began: float | None = None) -> RunningStage:
        """Begin a stage that `end` ends; it may have begun earlier, on the monotonic clock."""
        running = RunningStage(name, detail, began)
        running.number, running.tell = next(self._numbers), self._tell
        with self._lock:
            if self._began is None:
                self._began = running.began
            self._running.append(running)
        self._tell(News(What.BEGUN, running.began, running.number, name, detail))
        return running

    def end(self, running: RunningStage, failure: str = "", ended: float | None = None) -> None:
        """End a stage: well, or with how it failed in a word."""
        at = time.monotonic() if ended is None else ended
        seconds = at - running.began
        with self._lock:
            self._running.remove(running)
            began = running.began - (self._began or running.began)
            self._ended.append(Stage(running.name, seconds, running.detail, began, failed=bool(failure)))
        self._tell(News(What.ENDED, at, running.number, running.name, failure))
        self._console.print(self._line(running, seconds, failure))

    def note(self, text: str) -> None:
        """Print something worth knowing between the stages."""
        self._tell(News(What.NOTED, time.monotonic(), text=text))
        self._console.print(Text(text))

    def _line(self, running: RunningStage, seconds: float, failure: str) -> Table:
        good, bad = self._marks
        mark = Text(bad, "bold red") if failure else Text(good, "green")
        detail = running.detail
        if failure:
            doing = f" while: {running.at_work_on}" if running.at_work_on else ""
            detail = f"{failure}{doing}" if not detail else f"{detail}: {failure}{doing}"
        return _row(mark, running.name, detail, seconds, self._console.width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            running = tuple(self._running)
        for stage in running:
            spinner = Spinner("dots" if self._marks[0] == "✓" else "line", style="cyan")
            mark = spinner.render(time.monotonic())
            yield _row(mark, stage.name, stage.at_work_on or stage.detail, stage.seconds, options.max_width)

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            # pytest owns the standard streams here: they are not to be redirected once more.
            self._live = Live(
                self,
                console=self._console,
                refresh_per_second=_REFRESHES,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        else:
            self._quit = threading.Event()
            self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
            self._live = None
        if self._ticker:
            self._quit.set()
            self._ticker.join()
            self._ticker = None

    def _tick(self) -> None:
        """Say of each stage, every `still` seconds, that it goes on."""
        while not self._quit.wait(self._until_next()):
            now = time.monotonic()
            with self._lock:
                late = [s for s in self._running if now - s.said >= self._still]
                for stage in late:
                    stage.said = now
            for stage in late:
                doing = stage.at_work_on or stage.detail
                self._console.print(
                    _row(Text(" "), stage.name, f"still: {doing}", stage.seconds, self._console.width)
                )

    def _until_next(self) -> float:
        with self._lock:
            said = min((s.said for s in self._running), default=time.monotonic())
        return max(0.01, said + self._still - time.monotonic())


def _row(mark: object, name: str, detail: str, seconds: float, width: int) -> Table:
    """One stage as one line: what does not fit is cut, never wrapped."""
    table = Table.grid(padding=(0, 1), expand=False)
    table.width = min(width, 100)
    table.add_column(width=2, no_wrap=True)
    table.add_column(min_width=min(_NAME_WIDTH, width // 3), no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", no_wrap=True, min_width=7)
    shown = mark if isinstance(mark, Text) else Text(str(mark))
    table.add_row(shown, Text(name, "bold"), Text(detail, "dim"), Text(f"{seconds:.1f} s"))
    return table
