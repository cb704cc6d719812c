"""The one way to wait for what sends no event: always bounded, and its error says what was last seen."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_delay,
    wait_fixed,
)

from harness.errors import LabError

T = TypeVar("T")

_PAUSE = 0.03  # seconds; most probes take about as long


def wait_until(
    probe: Callable[[], T | None],
    *,
    seconds: float,
    what: str,
    transient: tuple[type[Exception], ...] = (),
    tail: Callable[[], str] | None = None,
    pause: float = _PAUSE,
) -> T:
    """Probe until the answer is neither None nor False, and give it back.

    Args:
        probe: looks once.
        seconds: the bound, on a monotonic clock.
        what: what is awaited, for the error: "headscale answers /health".
        transient: exceptions that mean "not yet", such as a connection refused.
        tail: fetches a log tail for the error.
        pause: seconds between two looks.

    Raises:
        LabError: when the time is over, with the last answer or exception and the log tail.
    """
    retrying = Retrying(
        wait=wait_fixed(pause),
        stop=stop_after_delay(seconds),
        retry=retry_if_result(lambda answer: answer is None or answer is False)
        | retry_if_exception_type(transient),
    )
    try:
        answer: T = retrying(probe)  # type: ignore[assignment] # None is what is retried
    except RetryError as error:
        last = error.last_attempt
        seen = f"raised {last.exception()!r}" if last.failed else f"answered {last.result()!r}"
        raise LabError(
            f"waited {seconds:g} s in vain until {what}; the last look {seen}",
            log=tail() if tail else "",
        ) from error
    return answer
