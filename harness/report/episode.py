"""What a verdict's detail shows beside its evidence: kept beside the ledger until the page is made."""

import json
import re
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cattrs import Converter

from harness.claims.verdict import Outcome, Verdict
from harness.lab.topology import Role, Topology
from harness.ledger.episodes import CONTROLS
from harness.ledger.facts import CaptureClosed, FlowSeen, PacketCaptured, TaskEventSeen, TaskLog
from harness.ledger.ledger import History
from harness.report import look_first
from harness.report.files import write_whole
from harness.report.timeline import Timeline, timeline

SHOWN_PACKETS = 40
"""At most so many packets are in the table: the capture has them all."""
_OF_TRAFFIC = ("egress.", "serve.")
"""The claims that flows and packets tell something of."""
_SHOWN_EVENTS = 80
_LOG_LINES = 60
_LOG_COLUMNS = 240
_STAMP = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ")
"""How tailscaled, as Go's log package, begins its lines, in UTC."""
_STREAMS = ("stdout", "stderr")


@dataclass(frozen=True)
class Log:
    """Lines of what a task printed."""

    task: str
    stream: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class EpisodeView:
    """The episode, or episodes, that a verdict rests on, as far as its detail shows them.

    Of a proven one there is the timeline alone: the rest is for who asks why.
    """

    subject: str
    claim: str
    look_first: tuple[str, ...] = ()
    """What to look at first, in sentences."""
    timeline: Timeline | None = None
    flows: tuple[FlowSeen, ...] = ()
    events: tuple[TaskEventSeen, ...] = ()
    logs: tuple[Log, ...] = ()
    packets: tuple[PacketCaptured, ...] = ()
    packets_in_all: int = 0
    capture: str = ""
    """The file with the packets, beside the ledger; empty where there is none."""

    @property
    def stem(self) -> str:
        """What its files are called, without what says their kind."""
        return stem(self.subject, self.claim)

    @property
    def picture(self) -> str:
        """The file of the timeline's picture, beside the ledger."""
        return f"{self.stem}.svg"


def stem(subject: str, claim: str) -> str:
    """What the files about a verdict are called, without what says their kind."""
    return f"{subject}-{claim}".replace("/", "_")


def view(  # noqa: PLR0917  a verdict, and what its words need
    subject: str,
    claim: str,
    verdict: Verdict,
    history: History,
    allowed: Collection[str],
    topology: Topology,
) -> EpisodeView:
    """Give what there is to show of the episodes of a verdict.

    Args:
        subject: the example.
        claim: its id.
        verdict: what the claim came to.
        history: the episodes that the claim needs; the harness's own are left out.
        allowed: the hosts that the example may leave by.
        topology: the lab that it ran in.
    """
    names = {address: host.name for host in topology.hosts for address in host.addresses}
    own = History(tuple(o for o in history.observations if o.episode not in CONTROLS))
    drawn = timeline(own, allowed, topology.only(Role.NODE).name, names)
    if verdict.outcome is Outcome.PROVEN:
        return EpisodeView(subject, claim, timeline=drawn)
    of_traffic = claim.startswith(_OF_TRAFFIC)
    packets = [p for _, p in own.of(PacketCaptured)] if of_traffic else []
    events = sorted((e for _, e in own.of(TaskEventSeen)), key=lambda e: e.event_at)
    found = EpisodeView(
        subject,
        claim,
        timeline=drawn,
        flows=tuple(f for _, f in own.of(FlowSeen)) if of_traffic else (),
        events=tuple(events[:_SHOWN_EVENTS]),
        logs=tuple(_logs((log for _, log in own.of(TaskLog)), drawn)),
        packets=tuple(packets[:SHOWN_PACKETS]),
        packets_in_all=len(packets),
        capture=next((c.file for _, c in own.of(CaptureClosed) if c.captured and of_traffic), ""),
    )
    return EpisodeView(**{**vars(found), "look_first": look_first.sentences(verdict, drawn, packets, names)})


def _logs(logs: Iterable[TaskLog], drawn: Timeline | None) -> Iterable[Log]:
    """What each task printed, by task: the first lines from the fault on, where they tell their time.

    Of other logs the last lines. tailscaled says much while it ends, when all that matters is over.
    """
    for log in sorted(logs, key=lambda log: (log.task, _STREAMS.index(log.stream))):
        lines = log.text.strip().split("\n")
        since = _between(drawn.zero - 1, drawn.zero + drawn.end + 1, lines) if drawn else []
        shown = since[:_LOG_LINES] or lines[-_LOG_LINES:]
        yield Log(log.task, log.stream, tuple(line[:_LOG_COLUMNS] for line in shown))


def _between(begin: float, end: float, lines: Sequence[str]) -> list[str]:
    """The lines that are stamped with a moment between two; those without a stamp go with the one before."""
    first, last = (time.strftime("%Y/%m/%d %H:%M:%S ", time.gmtime(at)) for at in (begin, end))
    found, within = [], False
    for line in lines:
        if _STAMP.match(line):
            within = first <= line[: len(first)] <= last
        if within:
            found.append(line)
    return found


_CONVERTER = Converter()


def write(found: EpisodeView, folder: Path) -> None:
    """Write it into the folder of its run."""
    data = _CONVERTER.unstructure(found)
    write_whole(folder / f"{found.stem}.json", json.dumps(data, ensure_ascii=False) + "\n")


def read(subject: str, claim: str, folder: Path) -> EpisodeView | None:
    """Read it from the folder of its run; None where there is none."""
    file = folder / f"{stem(subject, claim)}.json"
    if not file.is_file():
        return None
    return _CONVERTER.structure(json.loads(file.read_text(encoding="utf-8")), EpisodeView)
