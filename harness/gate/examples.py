"""The examples that a gate looks for: the claims that are made of each, and what its files are now."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.claims.catalogue import CLAIMS, SURVIVES
from harness.errors import UsageError
from harness.faults.catalogue import FAULTS
from harness.job import example, sources
from harness.report.record import RunRecord

_EGRESS, _SERVE = "egress", "serve"


@dataclass(frozen=True)
class Expected:
    """An example of which there are to be verdicts."""

    name: str
    claims: tuple[str, ...]
    """All that can be claimed of it: those of the catalogue, then those of faults."""
    files: Mapping[str, str] | None
    """The SHA-256 of each of its files as they are now; None where nobody says where they are."""
    problem: str = ""
    """Why its files cannot be read."""


def in_folder(folder: Path) -> tuple[Expected, ...]:
    """The examples of a folder. Raises UsageError where there is none, or a smoke.toml is wrong."""
    return tuple(map(_expected, example.find(folder)))


def _expected(found: example.Example) -> Expected:
    claims = [claim.id for claim in CLAIMS if not claim.absence(found.smoke)]
    try:
        files, problem = sources.digests(found), ""
    except UsageError as error:
        files, problem = {}, error.problem
    except OSError as error:
        files, problem = {}, f"{error.filename}: {error.strerror}"
    return Expected(found.name, (*claims, *_of_faults(found.smoke.kind)), files, problem)


def _of_faults(kind: str) -> tuple[str, ...]:
    return tuple(f"{kind}{SURVIVES}.{name}" for name, fault in FAULTS.items() if kind in fault.kinds)


def in_run(record: RunRecord) -> tuple[Expected, ...]:
    """The examples that a run says it had, with the claims that it did not say are not made of them."""
    return tuple(
        Expected(subject, (*_offered(record.absences.get(subject, {})),), None) for subject in record.subjects
    )


def _offered(absences: Mapping[str, str]) -> tuple[str, ...]:
    claims = tuple(claim.id for claim in CLAIMS if claim.id not in absences)
    kinds = {kind for claim in CLAIMS if claim.id in claims and len(claim.kinds) == 1 for kind in claim.kinds}
    return (*claims, *(claim for kind in sorted(kinds) for claim in _of_faults(kind)))
