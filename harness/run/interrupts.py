"""Ctrl-C and SIGTERM: the first ends the run, and none disturbs the removal that follows."""

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_Handler = Callable[[int, FrameType | None], Any] | int | None
_WATCHED = (signal.SIGINT, signal.SIGTERM)
_MOMENT = 0.05
"""Seconds after which is interrupted what could not be just then."""


class Interrupts:
    """While it is entered, the first of these signals raises KeyboardInterrupt; the others wait for its end.

    To be entered before all that is to be removed, in the main thread. Whoever cannot wait has SIGQUIT and
    SIGKILL, and `notailcar gc`.
    """

    def __init__(self) -> None:
        self._came = False
        self._raised = False
        self._held = False
        self._before: dict[signal.Signals, _Handler] = {}

    def __enter__(self) -> Self:
        for number in _WATCHED:
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def hold(self) -> None:
        """From here on only things are removed: a signal is kept until that is done."""
        self._held = True

    def _on_signal(self, _number: int, frame: FrameType | None) -> None:
        self._came = True
        if self._held:
            return
        if frame and frame.f_lineno is None:
            # Between two lines, where CPython has steps of its own: pytest fails at a traceback from there.
            self._before.setdefault(signal.SIGALRM, signal.signal(signal.SIGALRM, self._on_signal))
            signal.setitimer(signal.ITIMER_REAL, _MOMENT)
            return
        self._held = self._raised = True
        raise KeyboardInterrupt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore what was there. Raises KeyboardInterrupt for a signal that was kept."""
        if signal.SIGALRM in self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._came and not self._raised and kind is None:
            raise KeyboardInterrupt
