"""Ctrl-C and SIGTERM: the first ends the run, and none disturbs the removal that follows."""

import signal
from types import FrameType, TracebackType
from typing import Self

_WATCHED = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While it is entered, the first of these signals raises KeyboardInterrupt; the others wait for its end.

    To be entered before all that is to be removed, in the main thread. Whoever cannot wait has SIGQUIT and
    SIGKILL, and `notailcar gc`.
    """

    def __init__(self) -> None:
        self._came = False
        self._raised = False
        self._held = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in _WATCHED}
        return self

    def hold(self) -> None:
        """From here on only things are removed: a signal is kept until that is done."""
        self._held = True

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True
        if self._held:
            return
        self._held = self._raised = True
        raise KeyboardInterrupt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore what was there. Raises KeyboardInterrupt for a signal that was kept."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._came and not self._raised and kind is None:
            raise KeyboardInterrupt
