"""The record of a run: all that a report shows, as data, and its file reports/run.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from cattrs import Converter, transform_error

from harness.claims.verdict import Outcome
from harness.lab.topology import Topology
from harness.ledger.facts import FlowSeen
from harness.report import entries
from harness.report.entries import ClaimEntry
from harness.report.files import write_whole
from harness.report.seal import sealed

LAB = "lab"
"""The site of a run in a lab of the harness's own."""
LIVE = "live"
"""The site of a run on a cluster and a tailnet that exist."""


@dataclass(frozen=True)
class Stage:
    """A part of the run that took time."""

    name: str
    seconds: float
    what: str = ""
    """What happened in it: `joins the tailnet`."""
    began: float = 0.0
    """Seconds after the first stage began; stages overlap."""
    failed: bool = False


@dataclass(frozen=True)
class Failure:
    """A claim that was asked for and has no verdict: the lab failed on the way, or the input was wrong.

    Or the run was ended before it came to it.
    """

    subject: str
    claim: str
    reason: str
    """What failed, in a sentence, free of secrets."""
    reached: bool = True
    """Whether the run came to it at all."""


@dataclass(frozen=True)
class RunRecord:
    """One run, judged: the report's only input."""

    run: str
    began: float
    """Unix seconds."""
    seconds: float
    versions: Mapping[str, str]
    origins: Mapping[str, str]
    """Image name to where it came from; a stand-in says that it is one."""
    engine: str
    topology: Topology
    entries: tuple[ClaimEntry, ...]
    flows: tuple[FlowSeen, ...]
    """The flow book of the examples' own episodes, without what the harness sent to test its observers."""
    stages: tuple[Stage, ...]
    commit: str
    absences: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By example, the claims that are not made of it, each with the reason."""
    site: str = LAB
    """Where it ran: `lab`, or `live` on a cluster that exists."""
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By example, the SHA-256 of each file that it was made of as the run began, by the file's path."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of claims.json and of the ledgers, by their paths below the reports' folder."""
    outside: Mapping[str, str] = field(default_factory=dict)
    """Examples that were asked for, and not run as they show nothing of the chosen versions: why."""
    failures: tuple[Failure, ...] = ()
    """What was asked for and has no verdict."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """The examples, in the order in which they were judged; then those of which nothing was."""
        judged = [entry.subject for entry in self.entries]
        return tuple(dict.fromkeys((*judged, *(failure.subject for failure in self.failures))))

    @property
    def problems(self) -> tuple[str, ...]:
        """What went wrong with the lab or the input, each once, in a sentence; nothing is judged by it."""
        return tuple(dict.fromkeys(failure.reason for failure in self.failures if failure.reached))

    @property
    def outcome(self) -> Outcome:
        """The worst verdict; a claim that has none is unproven, and so is a run that judged nothing."""
        found = {e.verdict for e in self.entries}
        if self.failures:
            found.add(Outcome.UNPROVEN)
        for outcome in (Outcome.REFUTED, Outcome.UNPROVEN):
            if outcome in found:
                return outcome
        return Outcome.PROVEN if found else Outcome.UNPROVEN

    def count(self, outcome: Outcome) -> int:
        """How many claims came to a verdict."""
        return sum(e.verdict is outcome for e in self.entries)

    def names(self) -> dict[str, str]:
        """Every address of the lab, with the name of its host."""
        return address_names(self.topology)


def address_names(topology: Topology) -> dict[str, str]:
    """Every address of a topology, the router's among them, with the name of its host."""
    names = {address: host.name for host in topology.hosts for address in host.addresses}
    return names | dict.fromkeys(topology.internet.addresses, topology.internet.name)


def _converter() -> Converter:
    converter = Converter()
    for address in (IPv4Address, IPv6Address):
        converter.register_unstructure_hook(address, str)
        converter.register_structure_hook(address, lambda value, kind: kind(value))
    converter.register_structure_hook(ClaimEntry, lambda value, _: entries.from_data(value, "entries"))
    return converter


_CONVERTER = _converter()


def write(record: RunRecord, file: Path) -> None:
    """Write run.json with its seal, whole or not at all."""
    data: Any = sealed(_CONVERTER.unstructure(record))
    write_whole(file, json.dumps(data, ensure_ascii=False, indent=2) + "\n")


def read(file: Path) -> RunRecord:
    """Read run.json. Raises FileNotFoundError, or ValueError with every key that is wrong."""
    return from_data(json.loads(file.read_text(encoding="utf-8")), file)


def from_data(data: object, file: Path) -> RunRecord:
    """Read what a run.json holds. Raises ValueError: the file, and every key that is wrong."""
    try:
        return _CONVERTER.structure(data, RunRecord)
    except Exception as error:  # cattrs raises groups of every kind of error; each becomes a line
        raise ValueError(f"{file}: " + "; ".join(transform_error(error, path="run"))) from error
