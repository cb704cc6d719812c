"""One maker at a time for each thing made, across all runs of one cache."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from harness.engine.children import CancelledError
from harness.run import places

_LOOK_AGAIN = 0.1


@contextmanager
def only_maker(
    digest: str, cancelled: threading.Event, waiting: Callable[[], AbstractContextManager[object]]
) -> Iterator[None]:
    """Hold the lock of a digest. The kernel lets it go when its holder dies.

    Args:
        digest: of what is about to be made.
        cancelled: ends the waiting.
        waiting: entered while another run holds the lock, to show it.

    Raises:
        CancelledError: `cancelled` was set while waiting.
    """
    handle = os.open(_locks() / digest[:16], os.O_CREAT | os.O_RDWR, 0o600)
    try:
        if not _try(handle):
            with waiting():
                while not _try(handle):
                    # A thread in flock() could not be called back: what is awaited is the cancellation.
                    if cancelled.wait(_LOOK_AGAIN):
                        raise CancelledError
        yield
    finally:
        os.close(handle)


@contextmanager
def somebody_builds() -> Iterator[None]:
    """Tell `nobody_builds` that things are being made; any number of runs may do so at once."""
    with _building() as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def nobody_builds() -> Iterator[bool]:
    """Keep builds from beginning for a moment; gives False where one is going on."""
    with _building() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _building() -> Iterator[int]:
    handle = os.open(_locks() / "building", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


def _locks() -> Path:
    folder = places.cache() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
