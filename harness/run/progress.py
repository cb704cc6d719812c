"""How work that takes time is shown."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Stage(Protocol):
    """One piece of work that goes on now."""

    def update(self, detail: str) -> None:
        """Say what it does at this moment, in a few words."""


class Progress(Protocol):
    """What shows stages; several may go on at once, from several threads."""

    def stage(self, name: str, detail: str = "") -> AbstractContextManager[Stage]:
        """Begin a stage; leaving it ends it, well or with the exception."""

    def note(self, text: str) -> None:
        """Say something worth knowing between the stages."""


class PlainProgress:
    """Progress as lines of text, for logs and terminals that cannot be drawn on."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        """Every line goes to `announce`."""
        self._announce = announce

    def note(self, text: str) -> None:
        """Print the text as a line of its own."""
        self._announce(text)

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[Stage]:
        """Print a line as the stage begins, and one with its seconds as it ends."""
        begun = time.monotonic()
        self._announce(f"{name}: {detail}" if detail else name)
        try:
            yield _PlainStage()
        except BaseException:
            self._announce(f"{name}: stopped after {time.monotonic() - begun:.1f} s")
            raise
        self._announce(f"{name}: done in {time.monotonic() - begun:.1f} s")


class _PlainStage:
    def update(self, detail: str) -> None:
        """A log keeps every line, so only beginning and end are written."""
