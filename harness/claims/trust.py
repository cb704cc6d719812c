"""Whether observers may be believed at all. One that died, dropped or miscounted is an error of the lab."""

from collections.abc import Collection, Iterator

from harness.errors import LabError
from harness.ledger.facts import (
    CaptureClosed,
    EpisodeEnded,
    FlowBookClosed,
    FlowSeen,
    ObserverFailed,
    PacketCaptured,
)
from harness.ledger.ledger import History


def require_trust(history: History, episodes: Collection[str], books: Collection[str]) -> None:
    """Refuse to judge from observers that failed.

    Args:
        history: what was observed of one subject.
        episodes: the names of the episodes that a claim rests on.
        books: those of them whose flow book it reads, so that the book must have been closed.

    Raises:
        LabError: naming every failure found, each with its episode.
    """
    problems = [
        f"in episode {name}, {problem}"
        for name in sorted(episodes)
        for problem in _problems(history.episode(name), reads_book=name in books)
    ]
    if problems:
        raise LabError(
            "nothing can be concluded from what was observed: " + "; ".join(problems),
            remedy="look into the observer's log, then run the scenario again",
        )


def _problems(episode: History, *, reads_book: bool) -> Iterator[str]:
    for _, failed in episode.of(ObserverFailed):
        yield f"the observer {failed.observer} failed: {failed.problem}"
    captures = episode.of(CaptureClosed)
    for _, capture in captures:
        if capture.dropped > 0:
            yield f"the capture of '{capture.filter}' dropped {capture.dropped} packets"
    if episode.of(PacketCaptured) and not captures:
        yield "a capture showed packets and was never closed"
    books = episode.of(FlowBookClosed)
    for _, book in books:
        if book.packets_in_rows != book.packets_in_all:
            yield (
                f"the flow book has {book.packets_in_rows} packets in its rows "
                f"but {book.packets_in_all} in all"
            )
    if reads_book and not books and (bool(episode.of(FlowSeen)) or bool(episode.of(EpisodeEnded))):
        yield "the flow book was never closed"


def absent(history: History, episodes: Collection[str]) -> list[str]:
    """Give the names of the episodes that never came to an end here, sorted."""
    return sorted(name for name in episodes if not history.episode(name).of(EpisodeEnded))
