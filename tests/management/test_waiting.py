"""Waiting is bounded, and its error says what was last seen."""

from collections.abc import Iterator

import pytest

from harness.errors import LabError
from harness.management.waiting import wait_until


def test_the_first_answer_ends_it() -> None:
    answers = iter([None, False, None, "ready", "too late"])
    assert wait_until(lambda: next(answers), seconds=5, what="it is ready") == "ready"
    assert next(answers) == "too late"


@pytest.mark.parametrize("answer", [0, "", [], (), 0.0])
def test_only_none_and_false_mean_not_yet(answer: object) -> None:
    assert wait_until(lambda: answer, seconds=5, what="anything") is answer


def test_an_answer_at_once_is_taken_even_without_time() -> None:
    assert wait_until(lambda: True, seconds=0, what="now")


def test_it_is_bounded_and_says_what_it_last_saw() -> None:
    looks: list[bool] = []

    def probe() -> bool:
        looks.append(False)
        return looks[-1]

    with pytest.raises(
        LabError, match=r"waited 0\.1 s in vain until it is ready; .* answered False"
    ) as caught:
        wait_until(probe, seconds=0.1, what="it is ready", tail=lambda: "the log")
    assert len(looks) >= 1
    assert caught.value.log == "the log"


def test_a_transient_exception_means_not_yet() -> None:
    answers: Iterator[str | Exception] = iter([ConnectionRefusedError("not yet"), "ready"])

    def probe() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert wait_until(probe, seconds=5, what="it is ready", transient=(OSError,)) == "ready"


def test_the_last_exception_is_in_the_error() -> None:
    def probe() -> bool:
        raise ConnectionRefusedError("port 1")

    with pytest.raises(LabError, match=r"raised ConnectionRefusedError\('port 1'\)"):
        wait_until(probe, seconds=0.1, what="it is ready", transient=(OSError,))


def test_any_other_exception_is_not_waited_for() -> None:
    looks = []

    def probe() -> bool:
        looks.append(1)
        raise KeyError("a mistake in the probe")

    with pytest.raises(KeyError):
        wait_until(probe, seconds=5, what="it is ready", transient=(OSError,))
    assert len(looks) == 1


def test_the_log_is_fetched_only_for_an_error() -> None:
    def tail() -> str:
        raise AssertionError("nobody asked for it")

    assert wait_until(lambda: True, seconds=1, what="it is ready", tail=tail)
