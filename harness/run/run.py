"""A run owns an id, a scratch folder and a lock, which the kernel drops however the process dies."""

import fcntl
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import UsageError
from harness.run import places

_UNBORN = "."
_BIRTH = 60
"""Seconds that a run takes at most from its first folder to its lock and name."""
RUN_LABEL = "notailcar.run"
"""The label on every container and volume: the id of the run that made it."""
CACHE_LABEL = "notailcar.cache"
"""Beside it, the cache folder whose locks tell whether that run lives: others' runs are not ours to judge."""


def new_id() -> str:
    """A run's id: sortable by time, unlike any other's, short enough for a container's name."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


class Run:
    """One execution, alive as long as its lock is held.

    Attributes:
        id: the run's id, on the label of everything it makes.
        folder: scratch files, removed when the run closes.
    """

    def __init__(self, run_id: str | None = None) -> None:
        """Take a new id (or the one given by the controller of this process) and lock its folder.

        Raises UsageError when the cache cannot be written to.
        """
        self.id = run_id or new_id()
        self.folder = places.runs() / self.id
        # Locked before it has its name, so that another run's sweep never sees it unlocked.
        try:
            places.runs().mkdir(parents=True, exist_ok=True)
            unborn = Path(tempfile.mkdtemp(prefix=_UNBORN, dir=places.runs()))
        except OSError as error:
            raise UsageError(
                f"{places.runs()}: the cache cannot be written to: {error.strerror}",
                remedy="set NOTAILCAR_CACHE to a folder on a disk with 20 GB free",
            ) from error
        self._lock = os.open(unborn / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unborn.rename(self.folder)

    @property
    def labels(self) -> dict[str, str]:
        """The labels of everything that this run makes in an engine."""
        return {RUN_LABEL: self.id, CACHE_LABEL: str(places.cache())}

    def close(self) -> None:
        """Remove the scratch folder and let the lock go."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_alive(run_id: str) -> bool:
    """Whether a process holds the lock of this run."""
    return _locked(places.runs() / run_id / "lock")


def dead_runs() -> list[Path]:
    """The folders of runs that ended without cleaning up."""
    dead = [p for p in places.runs().glob("[!.]*") if not _locked(p / "lock")]
    return sorted([*dead, *filter(_stillborn, places.runs().glob(f"{_UNBORN}*"))])


def live_runs() -> list[Path]:
    """The folders of runs that are alive."""
    return sorted(p for p in places.runs().glob("[!.]*") if _locked(p / "lock"))


def _stillborn(folder: Path) -> bool:
    """Whether its run was killed before it had its name; a young one may be about to get it."""
    try:
        return time.time() - folder.stat().st_mtime > _BIRTH
    except FileNotFoundError:
        return False


def _locked(lock: Path) -> bool:
    try:
        handle = os.open(lock, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
