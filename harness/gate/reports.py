"""What a run left, read for the gate: verdicts, record, and whether they are as the run wrote them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.report import entries, record, seal
from harness.report.entries import ClaimEntry
from harness.report.record import RunRecord

CLAIMS, RUN = "claims.json", "run.json"
_LEDGER = "ledger"
_RUN_AGAIN = "run the scenarios again: ./scripts/runtime/smoke.sh"


@dataclass(frozen=True)
class Reports:
    """The reports of a run, as they are now."""

    folder: Path
    record: RunRecord | None
    """None: run.json is not there."""
    claims: tuple[ClaimEntry, ...] | None
    """None: claims.json is not there."""
    sealed: bool = False
    """Whether run.json says what its seal is of."""
    files: Mapping[str, str] = field(default_factory=dict)
    """For each file that run.json has the digest of, what is wrong with it; empty: nothing."""
    astray: Mapping[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    """By example and claim, the numbers of the quoted observations that the ledger does not have so."""


def read(folder: Path) -> Reports:
    """Read the reports of a folder. Raises UsageError where a file is there and cannot be read."""
    data = _json(folder / RUN)
    try:
        made = None if data is None else record.from_data(data, folder / RUN)
        claims = entries.read(folder / CLAIMS)
    except FileNotFoundError:
        claims = None
    except OSError as error:
        raise UsageError(f"{folder / CLAIMS}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        said = str(error) if str(folder) in str(error) else f"{folder / CLAIMS}: {error}"
        raise UsageError(f"cannot be read: {said}", remedy=_RUN_AGAIN) from error
    if made is None or claims is None:
        return Reports(folder, made, claims)
    files = {name: _differs(folder / name, digest) for name, digest in made.digests.items()}
    ledgers = [folder / name for name in files if _is_ledger(name) and (folder / name).is_file()]
    return Reports(
        folder,
        made,
        claims,
        sealed=isinstance(data, dict) and seal.holds(data),
        files=files,
        astray=astray(claims, _lines(ledgers)),
    )


def _json(file: Path) -> object:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file}: cannot be read: {error}", remedy=_RUN_AGAIN) from error


def _is_ledger(name: str) -> bool:
    return Path(name).name.startswith(_LEDGER)


def _differs(file: Path, digest: str) -> str:
    try:
        return "" if seal.digest(file) == digest else "is not what the run wrote: edited, or of another run"
    except FileNotFoundError:
        return "is not there: keep the whole folder of reports"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _lines(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as stream:
            yield from stream


def astray(claims: Iterable[ClaimEntry], ledger: Iterable[str]) -> dict[tuple[str, str], tuple[int, ...]]:
    """The observations that claims quote and a ledger does not have word for word.

    Args:
        claims: the verdicts with what they rest on.
        ledger: the lines of the run's ledgers.

    Returns:
        By example and claim, the numbers of these observations; nothing where all are there.
    """
    quoted = {
        (entry.subject, entry.claim, _said(item)): _number(item)
        for entry in claims
        for item in entry.evidence
    }
    wanted = {said for _, _, said in quoted}
    found = {said for line in ledger if (said := _of_line(line)) in wanted}
    lost: dict[tuple[str, str], tuple[int, ...]] = {}
    for (subject, claim, said), number in quoted.items():
        if said not in found:
            lost[subject, claim] = (*lost.get((subject, claim), ()), number)
    return lost


def _number(item: Mapping[str, Any]) -> int:
    number = item.get("number")
    return number if isinstance(number, int) else 0


def _said(item: object) -> str:
    """An observation without what claims.json adds to it, in one way of writing."""
    bare = {k: v for k, v in item.items() if k not in ("role", "of")} if isinstance(item, dict) else item
    return json.dumps(bare, sort_keys=True)


def _of_line(line: str) -> str:
    try:
        return _said(json.loads(line))
    except ValueError:
        return ""
