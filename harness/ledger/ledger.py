"""The ledger: facts in the order in which they were written, in memory and in a file."""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, TypeVar

from cattrs import Converter
from cattrs.strategies import configure_tagged_union

from harness.ledger.facts import Fact

F = TypeVar("F")


@dataclass(frozen=True)
class Observation:
    """One fact, with who saw it, when it was written and to which episode of which subject it belongs."""

    number: int
    """Position in the ledger, from 1."""
    at: float
    """When it was written, Unix seconds."""
    observer: str
    subject: str
    """The example that was run."""
    episode: str
    """Which of its executions: as-it-stands, exit-absent, address-wrong, control, ..."""
    fact: Fact


def _converter() -> Converter:
    converter = Converter()
    configure_tagged_union(Fact, converter, tag_name="kind")
    return converter


_CONVERTER = _converter()


def to_json(observation: Observation) -> dict[str, Any]:
    """Give an observation as JSON-ready data; the fact's class name stands under `fact.kind`."""
    data: dict[str, Any] = _CONVERTER.unstructure(observation)
    return data


def from_json(data: dict[str, Any]) -> Observation:
    """Read back what `to_json` wrote. Raises cattrs' errors on anything else."""
    return _CONVERTER.structure(data, Observation)


@dataclass(frozen=True)
class History:
    """A reading of the ledger: observations of one subject, by episode and kind. Claims see only this."""

    observations: tuple[Observation, ...]

    def episode(self, *names: str) -> "History":
        """Only what belongs to these episodes."""
        return History(tuple(o for o in self.observations if o.episode in names))

    def of(self, kind: type[F]) -> list[tuple[Observation, F]]:
        """Observations whose fact is of a kind, each beside its fact."""
        return [(o, o.fact) for o in self.observations if isinstance(o.fact, kind)]

    def __bool__(self) -> bool:
        return bool(self.observations)


class Ledger:
    """Owns the ledger's file. Appending is safe from several threads; nothing is ever taken back."""

    def __init__(self, file: Path) -> None:
        """Open `file` (JSON lines) for appending; its folder must exist."""
        self.file = file
        self._stream: TextIO = file.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._observations: list[Observation] = []

    def write(self, fact: Fact, *, observer: str, subject: str, episode: str) -> Observation:
        """Append one fact, on disk before this returns, and give it back as an observation."""
        with self._lock:
            observation = Observation(
                len(self._observations) + 1, time.time(), observer, subject, episode, fact
            )
            self._observations.append(observation)
            self._stream.write(json.dumps(to_json(observation), ensure_ascii=False) + "\n")
            self._stream.flush()
        return observation

    def write_all(self, facts: Iterable[Fact], *, observer: str, subject: str, episode: str) -> None:
        """Append several facts of one observer."""
        for fact in facts:
            self.write(fact, observer=observer, subject=subject, episode=episode)

    def history(self, subject: str) -> History:
        """Everything written about a subject so far."""
        with self._lock:
            return History(tuple(o for o in self._observations if o.subject == subject))

    def __iter__(self) -> Iterator[Observation]:
        with self._lock:
            return iter(tuple(self._observations))

    def close(self) -> None:
        """Close the file; reading goes on working."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
