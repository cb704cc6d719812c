"""An engine of the harness's own: started by the first run that needs it, ended by the last one.

It shares nothing with the machine's Docker: own socket, own folders, no bridge, no firewall rules. Runs hold
it by a lease, a locked file; the kernel drops a lease with its process, so a killed run holds nothing.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from harness.engine.daemon import (
    OwnPlaces,
    all_processes,
    answer,
    clear,
    empty,
    find_dockerd,
    kill,
    log_tail,
    start,
    stop,
)
from harness.engine.engine import Engine
from harness.errors import LabError
from harness.run.run import Run


class OwnEngine:
    """One run's hold on the own engine: entering starts it where it does not run, leaving may end it."""

    def __init__(self, run: Run, announce: Callable[[str], None]) -> None:
        """Remember who asks; nothing is started yet."""
        self._places = OwnPlaces()
        self._lease_file = self._places.leases / f"{run.id}.{secrets.token_hex(2)}"
        self._announce = announce
        self._lease: int | None = None

    def __enter__(self) -> Engine:
        with _alone(self._places):
            others = _live_leases(self._places)
            self._lease = os.open(self._lease_file, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lease, fcntl.LOCK_EX)
            try:
                return _running(self._places, others, self._announce)
            except BaseException:
                self._let_go()
                if not others:
                    _put_away(self._places)
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _alone(self._places):
            self._let_go()
            if not _live_leases(self._places):
                stop(self._places)
                _put_away(self._places)

    def _let_go(self) -> None:
        if self._lease is not None:
            self._lease_file.unlink(missing_ok=True)
            os.close(self._lease)
            self._lease = None


def own_engine_runs() -> bool:
    """Whether an own engine of this cache, or something left over from one, runs now."""
    return any(True for _ in all_processes(OwnPlaces()))


def stop_if_unused(announce: Callable[[str], None]) -> bool:
    """End the own engine if no live run holds it, with all that dead runs left in it.

    Args:
        announce: told what is done.

    Returns:
        Whether there was something to end.

    Raises:
        LabError: it does not end.
    """
    where = OwnPlaces()
    if not where.live.is_dir():
        return False
    with _alone(where):
        if _live_leases(where):
            return False
        if not own_engine_runs():
            _put_away(where)
            return False
        announce("ending an own engine that a dead run left behind")
        if find_dockerd(where) is None:
            # Containers outlive a killed dockerd. Only a new one knows how to end them.
            _running(where, [], announce)
        stop(where)
        _put_away(where)
    return True


@contextmanager
def _alone(where: OwnPlaces) -> Iterator[None]:
    handle = _lock(where)
    try:
        yield
    finally:
        os.close(handle)


def _lock(where: OwnPlaces) -> int:
    while True:
        where.leases.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            handle = os.open(where.lock, os.O_CREAT | os.O_RDWR, 0o600)
        except FileNotFoundError:
            continue
        fcntl.flock(handle, fcntl.LOCK_EX)
        # While we waited, the last user may have put the folder away, and the lock with it.
        with suppress(FileNotFoundError):
            if where.lock.stat().st_ino == os.fstat(handle).st_ino:
                return handle
        os.close(handle)


def _live_leases(where: OwnPlaces) -> list[Path]:
    live = []
    for lease in sorted(where.leases.iterdir()):
        handle = os.open(lease, os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lease.unlink()
        except BlockingIOError:
            live.append(lease)
        finally:
            os.close(handle)
    return live


def _running(where: OwnPlaces, others: list[Path], announce: Callable[[str], None]) -> Engine:
    process = find_dockerd(where)
    if process:
        engine = answer(where)
        if engine:
            return engine
        if others:
            raise LabError(
                f"the own engine (pid {process.pid}) does not answer, and {len(others)} other run(s) use it",
                remedy="end those runs, then try again",
                log=log_tail(where.log),
            )
        announce(f"the own engine (pid {process.pid}) does not answer: ending it")
        kill(process)
    clear(where)
    engine = start(where)
    # What a killed engine was running is listed again by the new one. Nobody holds it.
    empty(engine)
    return engine


def _put_away(where: OwnPlaces) -> None:
    # First out of the way, in one step: whoever comes now makes the folder anew.
    away = where.live.with_name(f"{where.live.name}.{secrets.token_hex(2)}")
    where.live.rename(away)
    shutil.rmtree(away, ignore_errors=True)
    with suppress(OSError):
        where.live.parent.rmdir()
