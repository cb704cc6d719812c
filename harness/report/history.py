"""What earlier runs came to: reports/history.jsonl, a line a run, the newest last.

A run is appended with one write, so that only a machine that stops in its midst leaves half a line; that is
passed over when it is read, and the next run begins a line of its own.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from harness.claims.verdict import Outcome
from harness.report.files import write_whole
from harness.report.record import LAB, RunRecord, Stage

FILE = "history.jsonl"
KEPT = 200
"""Runs that are kept; a run of everything takes some eight kilobytes."""
_WORKER = re.compile(r"^(gw\d+)(?:: )?")
"""What xdist calls a worker, as it stands before what its stages say."""
_OUTCOMES = {str(outcome): outcome for outcome in Outcome}
_BADNESS = {Outcome.PROVEN: 0, Outcome.UNPROVEN: 1, Outcome.REFUTED: 2}


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of verdicts; without any, unproven: nothing was judged."""
    return max(set(outcomes), key=_BADNESS.__getitem__, default=Outcome.UNPROVEN)


@dataclass(frozen=True)
class Past:
    """What is kept of a run."""

    run: str
    began: float
    """Unix seconds."""
    seconds: float
    commit: str
    verdicts: Mapping[str, Mapping[str, Outcome]]
    """By example and claim; of two verdicts on one claim the worse."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds by what was done, `control: headscale, DERP, STUN`; of several called so, the longest."""
    versions: Mapping[str, str] = field(default_factory=dict)
    site: str = LAB
    workers: int = 1
    """How many of xdist's shared the run: times of other numbers cannot be compared."""
    unfinished: bool = False
    """Whether not all was judged: the lab failed, or it was interrupted."""

    @cached_property
    def judged(self) -> dict[tuple[str, str], Outcome]:
        """The verdicts by example and claim."""
        return {(s, c): outcome for s, claims in self.verdicts.items() for c, outcome in claims.items()}

    @cached_property
    def outcome(self) -> Outcome:
        """The worst verdict; without any, unproven."""
        return worst(outcome for claims in self.verdicts.values() for outcome in claims.values())

    @property
    def green(self) -> bool:
        """Whether all that it was to judge is proven."""
        return not self.unfinished and self.outcome is Outcome.PROVEN


def of(record: RunRecord, *, unfinished: bool = False) -> Past:
    """What is kept of a run.

    Args:
        record: the run.
        unfinished: whether not all was judged.
    """
    verdicts: dict[str, dict[str, Outcome]] = {}
    for entry in record.entries:
        known = verdicts.setdefault(entry.subject, {})
        known[entry.claim] = worst((entry.verdict, known.get(entry.claim, entry.verdict)))
    stages: dict[str, float] = {}
    for stage in record.stages:
        if not stage.failed:
            name = _called(stage)
            stages[name] = max(round(stage.seconds, 2), stages.get(name, 0.0))
    workers = {found[1] for stage in record.stages if (found := _WORKER.match(stage.what))}
    return Past(
        run=record.run,
        began=round(record.began, 1),
        seconds=record.seconds,
        commit=record.commit,
        verdicts=verdicts,
        stages=stages,
        versions=record.versions,
        site=record.site,
        workers=max(1, len(workers)),
        unfinished=unfinished,
    )


def _called(stage: Stage) -> str:
    what = _WORKER.sub("", stage.what)
    return f"{stage.name}: {what}" if what else stage.name


def read(file: Path) -> tuple[Past, ...]:
    """Read the runs of a history, the newest last. Lines that cannot be read are passed over.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ()
    return tuple(past for line in text.split("\n") if (past := _past(line)))


def _past(line: str) -> Past | None:
    if not line.strip():
        return None
    # By hand: cattrs would take ten times as long, at the end of every run.
    try:
        data = json.loads(line)
        return Past(
            run=str(data["run"]),
            began=float(data["began"]),
            seconds=float(data["seconds"]),
            commit=str(data["commit"]),
            verdicts={
                str(subject): {claim: _OUTCOMES[outcome] for claim, outcome in claims.items()}
                for subject, claims in data["verdicts"].items()
            },
            stages={str(stage): float(seconds) for stage, seconds in data["stages"].items()},
            versions=dict(data["versions"]),
            site=str(data["site"]),
            workers=int(data["workers"]),
            unfinished=bool(data["unfinished"]),
        )
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def append(file: Path, past: Past) -> None:
    """Append a run; at more than `KEPT` the oldest go. Two runs that end at once wait for one another.

    Raises:
        OSError: the file cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(past), ensure_ascii=False, separators=(",", ":")) + "\n"
    with _locked(file.parent):
        before = file.read_bytes() if file.exists() else b""
        lines = before.split(b"\n")
        if len(lines) > KEPT:
            kept = b"\n".join(part for part in lines if part.strip()).split(b"\n")[-(KEPT - 1) :]
            write_whole(file, b"\n".join(kept).decode("utf-8", errors="replace") + "\n" + line)
            return
        torn = b"\n" if before and not before.endswith(b"\n") else b""
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, torn + line.encode())
        finally:
            os.close(handle)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def of_site(history: Sequence[Past], site: str) -> tuple[Past, ...]:
    """The runs at a site, in their order."""
    return tuple(past for past in history if past.site == site)
