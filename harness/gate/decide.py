"""The decision: reports against a policy, requirement by requirement. Pure: no clock, no git, no files."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.gate import judged
from harness.gate.decision import Decision, Requirement, Standing, held
from harness.gate.examples import Expected
from harness.gate.policy import Commit, Policy
from harness.gate.reports import CLAIMS, RUN, Reports
from harness.report.record import RunRecord
from harness.run.checkout import DIRTY

_AHEAD = 300
"""Seconds that the clocks of two machines may differ by."""
_SHOWN_COMMIT = 12
_HOUR, _DAY = 3600, 86400


@dataclass(frozen=True)
class Now:
    """What the reports are held against."""

    at: float
    """Unix seconds."""
    commit: str
    """That is checked out, as `harness.run.checkout` has it."""


def decide(policy: Policy, reports: Reports, expected: Sequence[Expected], now: Now) -> Decision:
    """Decide whether reports are enough.

    Args:
        policy: what must be proven.
        reports: what a run left.
        expected: the examples of which there must be verdicts; the policy's patterns choose among them.
        now: the time, and the commit that is checked out.

    Returns:
        Every requirement with its reason, met or not.
    """
    record, claims = reports.record, reports.claims
    if record is None or claims is None:
        return Decision(tuple(_not_there(reports)))
    run = judged.Run(record.site, claims, record.sources, reports.astray)
    return Decision(
        (
            *_files(reports, record),
            *_run(policy, record, now),
            *_versions(policy, record),
            *judged.requirements(policy, run, expected),
        ),
        judged.notes(policy, run, expected),
    )


def _not_there(reports: Reports) -> Iterator[Requirement]:
    for name, found in ((RUN, reports.record), (CLAIMS, reports.claims)):
        if found is None:
            why = f"{reports.folder / name} is not there: no run has written it"
            yield Requirement("reports", name, Standing.REFUSED, why)


def _files(reports: Reports, record: RunRecord) -> Iterator[Requirement]:
    edited = "it is not what the run wrote: edited, or made by an older NoTailCar"
    yield held("reports", RUN, "" if reports.sealed else edited, "it is as the run wrote it")
    for name, wrong in reports.files.items():
        yield held("reports", name, wrong and f"it {wrong}", "it is as the run wrote it")
    ledger = f"runs/{record.run}/ledger"
    for name in (CLAIMS, ledger):
        if not any(known.startswith(name) for known in record.digests):
            why = f"{RUN} has no digest of it, so nothing ties it to the run"
            yield Requirement("reports", name, Standing.REFUSED, why)


def _run(policy: Policy, record: RunRecord, now: Now) -> Iterator[Requirement]:
    began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(record.began))
    old = now.at - record.began
    problem = ""
    if old > policy.max_age.seconds:
        problem = f"the run began {_ago(old)} ago, {began}, and may be {policy.max_age.words} old"
    elif old < -_AHEAD:
        problem = f"the run began {began}, which is yet to come: a clock is wrong"
    yield held("run", "age", problem, f"the run began {_ago(old)} ago, {began}")
    if policy.commit is Commit.ANY:
        yield held("run", "commit", "", f"the policy takes any; the run is of {_short(record.commit)}")
        return
    yield held("run", "commit", _other(record.commit, now.commit), f"{_short(now.commit)} is checked out")
    edits = []
    if record.commit.endswith(DIRTY):
        edits.append("the run was made with files that differ from its commit")
    if now.commit.endswith(DIRTY):
        edits.append("files differ now from the commit that is checked out: git status names them")
    yield held("run", "edits", "; ".join(edits), "no file differed from the commit, and none does now")


def _other(ran: str, is_now: str) -> str:
    """Why a run is not of the commit that is checked out; empty where it is."""
    if not ran:
        return "the run does not say which commit it is of: it was started in no git checkout"
    if not is_now:
        return f"the run is of {_short(ran)}, and this folder is in no git checkout"
    if ran.removesuffix(DIRTY) != is_now.removesuffix(DIRTY):
        return f"the run is of {_short(ran)}, and {_short(is_now)} is checked out"
    return ""


def _short(commit: str) -> str:
    name = commit.removesuffix(DIRTY)
    return f"commit {name[:_SHOWN_COMMIT]}" if name else "no commit"


def _ago(seconds: float) -> str:
    """A time span in words: `26 min`, `5 h`, `3 days`."""
    whole = max(0, int(seconds))
    if whole < _HOUR:
        return f"{whole // 60} min"
    if whole < 2 * _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // 60} min"
    return f"{whole // _DAY} days"


def _versions(policy: Policy, record: RunRecord) -> Iterator[Requirement]:
    for name, wanted in policy.versions.items():
        found = record.versions.get(name)
        problem = ""
        if found is None:
            problem = f"the run names none; it names those of {', '.join(record.versions) or 'nothing'}"
        elif not fnmatchcase(found, wanted):
            problem = f"the run had {found}; the policy asks for {wanted}"
        yield held("versions", name, problem, f"{found}, as the policy asks: {wanted}")
