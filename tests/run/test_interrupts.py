"""What a signal does, and when: the whole of it is in tests/robustness."""

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from harness.run.interrupts import Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_interrupts_and_no_other(number: signal.Signals) -> None:
    with Interrupts():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        signal.raise_signal(number)


def test_a_signal_is_kept_while_things_are_removed() -> None:
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        interrupts.hold()
        signal.raise_signal(signal.SIGTERM)
        removed = True
    assert removed


def test_one_that_comes_between_two_lines_interrupts_a_moment_later() -> None:
    # Of a real frame it cannot be had at will: it was seen once.
    between: Any = SimpleNamespace(f_lineno=None)
    before = signal.getsignal(signal.SIGALRM)
    returned = False
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            interrupts._on_signal(signal.SIGTERM, between)
            returned = True
            signal.pause()
        assert returned
    assert signal.getsignal(signal.SIGALRM) == before


def test_one_that_comes_between_the_last_two_lines_interrupts_at_the_end() -> None:
    between: Any = SimpleNamespace(f_lineno=None)
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        interrupts._on_signal(signal.SIGTERM, between)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
