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
from harness.report.entries import ClaimEntry, from_data
from harness.report.files import write_whole


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

    @property
    def subjects(self) -> tuple[str, ...]:
        """The examples, in the order in which they were judged."""
        return tuple(dict.fromkeys(e.subject for e in self.entries))

    @property
    def outcome(self) -> Outcome:
        """The worst verdict; without any, unproven: nothing was judged."""
        found = {e.verdict for e in self.entries}
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
    converter.register_structure_hook(ClaimEntry, lambda value, _: from_data(value, "entries"))
    return converter


_CONVERTER = _converter()


def write(record: RunRecord, file: Path) -> None:
    """Write run.json, whole or not at all."""
    data: Any = _CONVERTER.unstructure(record)
    write_whole(file, json.dumps(data, ensure_ascii=False, indent=2) + "\n")


def read(file: Path) -> RunRecord:
    """Read run.json. Raises FileNotFoundError, or ValueError with every key that is wrong."""
    data = json.loads(file.read_text(encoding="utf-8"))
    try:
        return _CONVERTER.structure(data, RunRecord)
    except Exception as error:  # cattrs raises groups of every kind of error; each becomes a line
        raise ValueError(f"{file}: " + "; ".join(transform_error(error, path="run"))) from error
