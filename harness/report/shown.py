"""An episode's view as the page shows it: its pictures, its packets and logs in words, and what to open."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from harness.claims.verdict import Outcome
from harness.lab.topology import Topology
from harness.report import episode, topology_picture
from harness.report.entries import ClaimEntry
from harness.report.episode import EpisodeView
from harness.report.fact_words import clock, port


@dataclass(frozen=True)
class PacketRow:
    """A packet in words."""

    at: str
    source: str
    destination: str
    what: str
    """Protocol and port."""
    begins: str


@dataclass(frozen=True)
class EventRow:
    """A task's event in words."""

    at: str
    task: str
    what: str


@dataclass(frozen=True)
class Shown:
    """What the detail of a verdict holds beside its evidence."""

    view: EpisodeView
    timeline: Markup
    """Empty where there is none, or where it is only linked."""
    timeline_file: str
    """The picture's address relative to the page; empty where there is none."""
    flows: Markup
    packets: tuple[PacketRow, ...]
    capture: str
    """The capture's address relative to the page; empty where there is none."""
    events: tuple[EventRow, ...]


def shown(
    entry: ClaimEntry, topology: Topology, folder: Path, page: Path, *, brief: bool = False
) -> Shown | None:
    """Give what there is to show of a verdict's episodes; None where nothing was kept of them.

    Args:
        entry: the verdict.
        topology: the lab that it came from.
        folder: the run's, with its pictures and captures.
        page: the folder of the page, to which addresses are relative.
        brief: whether the pictures of what is proven are linked, for they are many.
    """
    view = episode.read(entry.subject, entry.claim, folder)
    if view is None:
        return None
    names = {address: host.name for host in topology.hosts for address in host.addresses}
    picture = folder / view.picture
    linked = brief and entry.verdict is Outcome.PROVEN
    drawn = picture.read_text(encoding="utf-8") if picture.is_file() and not linked else ""
    flows = topology_picture.draw_episode(view, topology) if view.flows else ""
    return Shown(
        view=view,
        # Both pictures' own makers have escaped what they were given.
        timeline=Markup(drawn),  # noqa: S704 - our own drawing
        timeline_file=_address(picture, page),
        flows=Markup(flows),  # noqa: S704 - our own drawing
        packets=tuple(_packets(view, names)),
        capture=_address(folder / view.capture, page) if view.capture else "",
        events=tuple(_events(view)),
    )


def _address(file: Path, page: Path) -> str:
    return quote(os.path.relpath(file, page)) if file.is_file() else ""


def _packets(view: EpisodeView, names: Mapping[str, str]) -> list[PacketRow]:
    def end(address: str) -> str:
        return f"{names[address]} ({address})" if address in names else address

    return [
        PacketRow(
            clock(p.captured_at), end(p.source), end(p.destination), port(p.protocol, p.port), p.payload
        )
        for p in view.packets
    ]


def _events(view: EpisodeView) -> list[EventRow]:
    rows = []
    for event in view.events:
        code = "" if event.exit_code is None else f", exit code {event.exit_code}"
        message = f": {event.message}" if event.message else ""
        rows.append(EventRow(clock(event.event_at), event.task, f"{event.event}{code}{message}"))
    return rows
