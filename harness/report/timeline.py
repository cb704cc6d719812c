"""Requests over time under a fault, by who the receiver saw: what the picture is drawn from. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.lab.topology import CLIENT
from harness.ledger.facts import FaultSeen, Phase, RequestSeen, RequestSent, RoundAsked
from harness.ledger.ledger import History
from harness.report.fact_words import Names

UNANSWERED = "no answer"
"""The row of requests that were not answered, by the sender's word."""


class Kind(StrEnum):
    """What a row of the timeline means."""

    ALLOWED = "allowed"
    """The receiver saw an exit that the job may leave by; or somebody was let in who may."""
    DIRECT = "direct"
    """The receiver saw anybody else, the node itself above all; or somebody was let in who may not."""
    UNANSWERED = "unanswered"
    """No answer came; to who may not ask, none should."""


@dataclass(frozen=True)
class Lane:
    """One row: requests of one kind, with the moments of each in seconds from the timeline's zero."""

    name: str
    kind: Kind
    at: tuple[float, ...]
    addresses: tuple[str, ...] = ()
    """That the receiver saw in it."""
    noun: str = "request"


@dataclass(frozen=True)
class Mark:
    """How far the fault came at a moment, in seconds from the timeline's zero."""

    phase: Phase
    at: float
    what: str


@dataclass(frozen=True)
class Timeline:
    """An episode's requests; its zero is when the fault was injected."""

    zero: float
    """Unix seconds."""
    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]

    def mark(self, phase: Phase) -> Mark | None:
        """The mark of a phase, if the fault came so far."""
        return next((m for m in self.marks if m.phase is phase), None)

    @property
    def begin(self) -> float:
        """The first moment that is shown."""
        return min(self._moments)

    @property
    def end(self) -> float:
        """The last moment that is shown."""
        return max(self._moments)

    @property
    def _moments(self) -> list[float]:
        return [*(at for lane in self.lanes for at in lane.at), *(m.at for m in self.marks)]

    @property
    def direct(self) -> tuple[float, ...]:
        """When something arrived or was let in that must not, in order."""
        return tuple(sorted(at for lane in self.lanes if lane.kind is Kind.DIRECT for at in lane.at))

    @property
    def summary(self) -> str:
        """The picture in words, for who cannot see it."""
        told = [f"{lane.name}: {span(lane.at)}" for lane in self.lanes]
        marks = [f"{m.phase} at {m.at:.1f} s" for m in self.marks]
        return f"The fault was {', '.join(marks)}. Requests: {'; '.join(told)}."


def span(at: Sequence[float]) -> str:
    """How many there are, and from when to when: `12 from 0.3 s to 4.7 s`; `none`."""
    if not at:
        return "none"
    first, last = min(at), max(at)
    when = f"at {first:.1f} s" if first == last else f"from {first:.1f} s to {last:.1f} s"
    return f"{len(at)} {when}"


def timeline(episode: History, allowed: Iterable[str], node: str, names: Names) -> Timeline | None:
    """Give the timeline of a fault's episode.

    Args:
        episode: its history.
        allowed: the hosts that the job may leave by; each has a row, whether it was seen or not.
        node: the host that the job runs on; it has a row of its own, most often an empty one.
        names: addresses to hosts; an address that is not among them has a row of its own.

    Returns:
        The timeline: of what the job sent, or of who asked for what it serves. None where no fault was
        injected, or nobody asked.
    """
    faults = [f for _, f in episode.of(FaultSeen)]
    injected = [f for f in faults if f.phase is Phase.INJECTED]
    seen = [r for _, r in episode.of(RequestSeen) if r.seen_at]
    sent = [r for _, r in episode.of(RequestSent)]
    rounds = [r for _, r in episode.of(RoundAsked)]
    if not injected or not (seen or sent or rounds):
        return None
    zero = injected[0].reached_at
    if rounds:
        lanes = tuple(_asked(rounds, zero))
    else:
        lanes = tuple(_sent(seen, sent, (tuple(dict.fromkeys(allowed)), node), names, zero))
    marks = tuple(Mark(f.phase, f.reached_at - zero, f.what) for f in faults)
    return Timeline(zero, lanes, tuple(sorted(marks, key=lambda m: m.at)))


def _sent(
    seen: Iterable[RequestSeen],
    sent: Iterable[RequestSent],
    hosts: tuple[tuple[str, ...], str],
    names: Names,
    zero: float,
) -> Iterator[Lane]:
    exits, node = hosts
    by_host: dict[str, list[RequestSeen]] = {name: [] for name in (*exits, node)}
    for request in seen:
        by_host.setdefault(names.get(request.peer, request.peer), []).append(request)
    for name, requests in by_host.items():
        at = tuple(sorted(r.seen_at - zero for r in requests))
        addresses = tuple(sorted({r.peer for r in requests}))
        if name in exits:
            yield Lane(name, Kind.ALLOWED, at, addresses)
        else:
            yield Lane(f"{name}, directly", Kind.DIRECT, at, addresses)
    yield Lane(UNANSWERED, Kind.UNANSWERED, tuple(sorted(r.began - zero for r in sent if not r.answer)))


def _asked(rounds: Sequence[RoundAsked], zero: float) -> Iterator[Lane]:
    def lane(name: str, kind: Kind, of: Iterable[RoundAsked]) -> Lane:
        return Lane(name, kind, tuple(sorted(r.began - zero for r in of)), noun="round")

    client = [r for r in rounds if r.by == CLIENT]
    yield lane(f"{CLIENT}, answered", Kind.ALLOWED, (r for r in client if r.connected))
    yield lane(f"{CLIENT}, no answer", Kind.UNANSWERED, (r for r in client if not r.connected))
    for by in sorted({r.by for r in rounds} - {CLIENT}):
        asked = [r for r in rounds if r.by == by]
        yield lane(f"{by}, let in", Kind.DIRECT, (r for r in asked if r.connected))
        yield lane(f"{by}, not let in", Kind.UNANSWERED, (r for r in asked if not r.connected))
