"""Who joins and leaves again before anybody looks is written down all the same."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.errors import LabError
from harness.live.attendance import Attendance


def test_each_change_is_written_down_once() -> None:
    lists = iter([frozenset[str](), frozenset({"1"}), frozenset({"1"}), frozenset[str](), frozenset({"2"})])
    last = frozenset({"2"})
    written: list[int] = []
    both = threading.Event()

    def write() -> None:
        written.append(1)
        if len(written) == 2:
            both.set()

    with ThreadPoolExecutor(1) as pool, Attendance(lambda: next(lists, last), write, pool):
        assert both.wait(20)
    assert len(written) == 2


def test_the_last_look_is_after_the_end() -> None:
    """What joined while the last look was awaited is seen: one more look comes before it is left."""
    written = threading.Event()
    with ThreadPoolExecutor(1) as pool, Attendance(lambda: frozenset({"1"}), written.set, pool):
        pass
    assert written.is_set()


def test_a_list_that_cannot_be_had_is_an_error() -> None:
    def fail() -> frozenset[str]:
        raise LabError("headscale does not answer")

    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(LabError, match="does not answer"),
        Attendance(fail, lambda: None, pool),
    ):
        pass
