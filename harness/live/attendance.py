"""Watches who joins the tailnet while a job runs: a short one has come and gone before anybody says so."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

_BETWEEN_LISTS = 0.3  # seconds; no control server tells of who joins, so it is asked again and again


class Attendance:
    """Owns the watching. It asks from when it is entered until it is left, and writes down each change."""

    def __init__(
        self, look: Callable[[], frozenset[str]], write: Callable[[], object], pool: ThreadPoolExecutor
    ) -> None:
        """Describe it.

        Args:
            look: the ids of the nodes of the job that are there now. Raises LabError.
            write: writes down who is there; called at each change.
            pool: has a thread to spare.
        """
        self._look = look
        self._write = write
        self._pool = pool
        self._over = threading.Event()
        self._watching: Future[None] | None = None

    def _watch(self) -> None:
        seen: frozenset[str] = frozenset()
        while True:
            found = self._look()
            if found - seen:
                self._write()
            seen |= found
            if self._over.wait(_BETWEEN_LISTS):
                return

    def __enter__(self) -> Self:
        self._watching = self._pool.submit(self._watch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        # What it could not see is an error of the site, unless there is one already.
        if self._watching and (kind is None or not self._watching.exception()):
            self._watching.result()
