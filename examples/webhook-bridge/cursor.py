"""Where the bridge stands, kept so that no kill and no power cut leaves it half written."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Position:
    """The last event that is done with, and how many were passed on."""

    after: int
    passed: int


class Cursor:
    """The file that keeps the position."""

    def __init__(self, folder: Path) -> None:
        """Keep it in this folder, which is made where it is not there."""
        self._file = folder / "cursor.json"

    def read(self, otherwise: int) -> Position:
        """Give the position; where there is none yet, after event `otherwise`.

        Raises ValueError where the file holds something else. To begin anew then would look like a start,
        and hand on again what may be long gone from the handler's memory.
        """
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            return Position(int(kept["after"]), int(kept["passed"]))
        except FileNotFoundError:
            return Position(otherwise, 0)
        except (KeyError, TypeError, ValueError) as problem:
            raise ValueError(f"{self._file} does not hold a position") from problem

    def write(self, position: Position) -> None:
        """Keep a position: it is on the disk when this returns, and before, the last one is."""
        folder = self._file.parent
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._file.with_suffix(".new")
        with unfinished.open("w", encoding="utf-8") as stream:
            json.dump(asdict(position), stream)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.rename(self._file)
        # The new name is on the disk only when its folder is.
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
