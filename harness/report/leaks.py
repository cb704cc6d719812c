"""The leak matrix: faults down, examples across, and what became of each job's traffic. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from harness.claims.befallen import Fate
from harness.claims.catalogue import SURVIVES
from harness.claims.verdict import Outcome
from harness.report import claim_words
from harness.report.entries import ClaimEntry
from harness.report.fact_words import amount
from harness.report.record import Failure

_SURVIVES = f"{SURVIVES}."
_BADNESS = {Outcome.PROVEN: 0, Outcome.UNPROVEN: 1, Outcome.REFUTED: 2}
# The sentences of harness.claims.survives and stays_private: in claims.json figures stand in reasons alone.
_ARRIVED = re.compile(
    r"(?P<requests>[\d,]+) requests? arrived directly within (?P<seconds>[\d.]+) s"
    r"(?:, the first (?P<first>-?[\d.]+) s after it began)?, from (?P<senders>[^;]+)"
)
_SENDER = re.compile(r"(?P<host>\S+) \((?P<address>[^)]+)\) [\d,]+")
_LET_IN = re.compile(
    r"connections for who may not(?:, the first (?P<first>-?[\d.]+) s after it began)?: (?P<who>[^;]+)"
)
_WHO = re.compile(r"(?P<host>\S+) by .*? \((?P<number>[\d,]+)\)")
_PACKETS = re.compile(r"\(([\d,]+) packets?\)")


class Standing(StrEnum):
    """What became of a job's traffic under a fault, the worst last but one."""

    HELD = "held"
    """It went on, by allowed exits alone."""
    STOPPED = "stopped"
    """Nothing was answered while it lasted, and nothing left otherwise."""
    UNPROVEN = "unproven"
    """Something needed was not observed."""
    LEAKED = "leaked"
    """Something left otherwise."""
    FAILED = "lab error"
    """It was asked for, and there is no verdict: the lab failed."""
    NOT_RUN = "not run"
    ABSENT = "does not apply"
    """It cannot befall an example of this kind."""


SYMBOLS = {
    Standing.HELD: claim_words.SYMBOLS[Outcome.PROVEN],
    Standing.STOPPED: "■",
    Standing.UNPROVEN: claim_words.SYMBOLS[Outcome.UNPROVEN],
    Standing.LEAKED: claim_words.SYMBOLS[Outcome.REFUTED],
    Standing.FAILED: claim_words.FAILED,
    Standing.NOT_RUN: claim_words.NOT_RUN,
    Standing.ABSENT: claim_words.ABSENT,
}
MEANINGS = {
    Standing.HELD: "traffic went on as it may, and not otherwise",
    Standing.STOPPED: "nothing was answered while it lasted, and nothing went otherwise",
    Standing.UNPROVEN: "something needed was not observed",
    Standing.LEAKED: "something went as it must not: past the allowed exits, or in from who may not",
    Standing.FAILED: "the lab failed on the way to a verdict, so nothing is known",
    Standing.NOT_RUN: "it did not befall the example in this run",
    Standing.ABSENT: "it cannot befall an example of this kind: a service has no exit node",
}


_NOTHING = frozenset({Standing.NOT_RUN, Standing.ABSENT})
"""Where there is no verdict."""


@dataclass(frozen=True)
class Leak:
    """The figures of a leak."""

    requests: int
    """That arrived from another address than an allowed exit's."""
    seconds: float
    """Between the first of them and the last."""
    first: float | None
    """Seconds from the fault to the first of them; None where that is not known."""
    senders: tuple[str, ...]
    """Whom the receiver saw: `node (203.0.113.10, 2001:db8:113::10)`; or who was let in."""
    packets: int = 0
    """That left the node directly, requests' among them."""
    connections: int = 0
    """That somebody got who may not."""

    @property
    def words(self) -> str:
        """The figures in a phrase."""
        if self.connections:
            return f"{self.short} for {', '.join(self.senders)}"
        if not self.requests:
            return f"{amount(self.packets, 'packet')}, no request" if self.packets else "names alone"
        return f"{self.short} from {', '.join(self.senders)}"

    @property
    def short(self) -> str:
        """How many requests over how long; what else there was, where no request arrived."""
        if self.connections:
            return amount(self.connections, "connection")
        if not self.requests:
            return self.words
        return f"{amount(self.requests, 'request')} in {self.seconds:.1f} s"


@dataclass(frozen=True)
class LeakCell:
    """What became of one example under one fault."""

    subject: str
    fault: str
    standing: Standing
    entry: ClaimEntry | None = None
    """The verdict; None where there is none."""
    leak: Leak | None = None
    """Of what leaked, its figures."""
    failure: str = ""
    """Of what has no verdict because the lab failed, the reason."""

    @property
    def symbol(self) -> str:
        """What stands before its words."""
        return SYMBOLS[self.standing]

    @property
    def anchor(self) -> str:
        """Where the page has its evidence; nowhere without a verdict."""
        return "" if self.entry is None else anchor(self.entry)


@dataclass(frozen=True)
class LeakRow:
    """A fault: one cell an example."""

    fault: str
    title: str
    """What happens, as a sentence about the past."""
    cells: tuple[LeakCell, ...]


@dataclass(frozen=True)
class LeakMatrix:
    """Faults that befell at least one example; empty where there were none."""

    subjects: tuple[str, ...]
    rows: tuple[LeakRow, ...]

    @property
    def cells(self) -> tuple[LeakCell, ...]:
        """All of them, row by row."""
        return tuple(cell for row in self.rows for cell in row.cells)

    @property
    def bad(self) -> tuple[LeakCell, ...]:
        """Those that leaked, then those that are unproven, then those whose lab failed."""
        return tuple(
            cell
            for standing in (Standing.LEAKED, Standing.UNPROVEN, Standing.FAILED)
            for cell in self.cells
            if cell.standing is standing
        )

    def count(self, standing: Standing) -> int:
        """How often it came to that."""
        return sum(cell.standing is standing for cell in self.cells)

    @property
    def headline(self) -> str:
        """What came of all faults in one sentence; how many cells of each kind."""
        counted = [(s, self.count(s)) for s in (Standing.LEAKED, *Standing) if s not in _NOTHING]
        told = {s: n for s, n in counted if n}
        words = (amount(n, s) if s is Standing.FAILED else f"{n} {s}" for s, n in told.items())
        return f"Under faults: {', '.join(words) or 'no verdict'}"


def anchor(entry: ClaimEntry) -> str:
    """Where the page has the evidence of a verdict."""
    return f"{entry.subject}/{entry.claim}"


def is_of_fault(claim: str) -> bool:
    """Whether a claim is that a job survives a fault: those are cells of this matrix, not of the claims'."""
    return _SURVIVES in claim


def fault_of(claim: str) -> str:
    """The name of the fault in a claim's id."""
    return claim.partition(_SURVIVES)[2]


def leak_matrix(entries: Iterable[ClaimEntry], failures: Iterable[Failure] = ()) -> LeakMatrix:
    """Give the leak matrix of a run.

    Args:
        entries: the run's verdicts; those that are not of a fault do not count.
        failures: what was asked for and has no verdict; the same holds for them.

    Returns:
        Faults in the catalogue's order, unknown ones by name after them; examples by kind and name, whatever
        order several workers judged them in. Of two verdicts on one example and fault the worse stands,
        and a leak stands before a lab that failed, which stands before any other verdict.
    """
    found: dict[tuple[str, str], ClaimEntry] = {}
    for entry in entries:
        if not is_of_fault(entry.claim):
            continue
        key = (fault_of(entry.claim), entry.subject)
        known = found.get(key)
        if known is None or _BADNESS[entry.verdict] > _BADNESS[known.verdict]:
            found[key] = entry
    failed = {(fault_of(f.claim), f.subject): f for f in failures if is_of_fault(f.claim)}
    asked = [(e.subject, e.claim) for e in found.values()] + [(f.subject, f.claim) for f in failed.values()]
    kinds = {subject: claim.partition(".")[0] for subject, claim in asked}
    subjects = tuple(sorted(kinds, key=lambda subject: (kinds[subject], subject)))
    faults = sorted({fault for fault, _ in (*found, *failed)}, key=claim_words.fault_order)
    return LeakMatrix(
        subjects,
        tuple(
            LeakRow(
                fault,
                claim_words.fault_title(fault),
                tuple(
                    _cell(fault, s, kinds[s], found.get((fault, s)), failed.get((fault, s))) for s in subjects
                ),
            )
            for fault in faults
        ),
    )


def _cell(fault: str, subject: str, kind: str, entry: ClaimEntry | None, failed: Failure | None) -> LeakCell:
    if failed and failed.reached and (entry is None or entry.verdict is not Outcome.REFUTED):
        return LeakCell(subject, fault, Standing.FAILED, failure=failed.reason)
    if entry is None:
        apt = claim_words.can_befall(fault, kind)
        return LeakCell(subject, fault, Standing.NOT_RUN if apt else Standing.ABSENT)
    standing = standing_of(entry)
    leak = leak_of(entry.reason) if standing is Standing.LEAKED else None
    return LeakCell(subject, fault, standing, entry, leak)


def standing_of(entry: ClaimEntry) -> Standing:
    """What a verdict on a fault says became of the traffic."""
    if entry.verdict is Outcome.REFUTED:
        return Standing.LEAKED
    if entry.verdict is Outcome.UNPROVEN:
        return Standing.UNPROVEN
    return Standing.STOPPED if entry.reason.startswith(Fate.STOPPED) else Standing.HELD


def leak_of(reason: str) -> Leak:
    """Read the figures of a leak out of the reason of its verdict."""
    packets = sum(_number(n) for n in _PACKETS.findall(reason))
    if let_in := _LET_IN.search(reason):
        who = list(_WHO.finditer(let_in["who"]))
        return Leak(
            requests=0,
            seconds=0.0,
            first=float(let_in["first"]) if let_in["first"] else None,
            senders=tuple(dict.fromkeys(w["host"] for w in who)),
            connections=sum(_number(w["number"]) for w in who),
        )
    arrived = _ARRIVED.search(reason)
    if arrived is None:
        return Leak(0, 0.0, None, (), packets)
    hosts: dict[str, list[str]] = {}
    for sender in _SENDER.finditer(arrived["senders"]):
        hosts.setdefault(sender["host"], []).append(sender["address"])
    return Leak(
        requests=_number(arrived["requests"]),
        seconds=float(arrived["seconds"]),
        first=float(arrived["first"]) if arrived["first"] else None,
        senders=tuple(
            # An address that no host has stands for itself.
            host if addresses == [host] else f"{host} ({', '.join(addresses)})"
            for host, addresses in hosts.items()
        ),
        packets=packets,
    )


def _number(text: str) -> int:
    return int(text.replace(",", ""))
