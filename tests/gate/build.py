"""A repository with two examples, and the reports that a run of them leaves, by the harness's own writers."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.claims.catalogue import CLAIMS
from harness.claims.verdict import Outcome, Verdict
from harness.job import example, sources
from harness.ledger import facts
from harness.ledger.ledger import Ledger
from harness.report import entries, record, seal
from harness.report.entries import ClaimEntry
from harness.run import checkout
from tests.report import sample

EGRESS = 'kind = "egress"\ntags = ["tag:nomad-worker"]\n[egress]\nvia = ["exit-a"]\n'
SERVE = 'kind = "serve"\n[[serve]]\nurl = "http://{host}/"\n'
WORKER, SITE = "worker", "site"
SMOKE = {WORKER: EGRESS, SITE: SERVE}
RUN = "20261129-101500-ab12"
VERSIONS = {"nomad": "1.11.3", "tailscale": "1.102.3"}


def git(folder: Path, *arguments: str) -> None:
    """Run git as somebody who has a name."""
    named = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *named, *arguments], cwd=folder, check=True, capture_output=True)


def repository(folder: Path) -> None:
    """Make a repository whose one commit has the two examples and ignores the reports."""
    for name, smoke in SMOKE.items():
        made = folder / "examples" / name
        made.mkdir(parents=True)
        (made / "smoke.toml").write_text(smoke, encoding="utf-8")
        (made / f"{name}.nomad.hcl").write_text(f'job "{name}" {{}}\n', encoding="utf-8")
    begin(folder)


def begin(folder: Path) -> None:
    """Make a repository of what is in a folder, but for the reports."""
    (folder / ".gitignore").write_text("reports/\n", encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "Begin")


def claims_of(found: example.Example) -> list[str]:
    """The claims that are made of an example."""
    return [claim.id for claim in CLAIMS if not claim.absence(found.smoke)]


def run(
    folder: Path,
    outcomes: Mapping[tuple[str, str], Outcome | None] = {},
    *,
    site: str = "lab",
    began: float | None = None,
    more: Sequence[tuple[str, str, Outcome]] = (),
    versions: Mapping[str, str] = VERSIONS,
) -> Path:
    """Leave the reports of a run of the examples in the current folder, which is `folder`.

    Args:
        folder: the repository.
        outcomes: the verdicts other than proven, by example and claim; None for no verdict at all.
        site: where it ran.
        began: when it began, Unix seconds; a minute ago by default.
        more: further verdicts: example, claim, outcome.
        versions: of what ran.

    Returns:
        The folder with the reports.
    """
    reports = folder / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    ledger_file = reports / "runs" / RUN / "ledger.jsonl"
    ledger_file.parent.mkdir(parents=True)
    found = example.find(folder / "examples")
    judged = [
        (e.name, claim, outcome)
        for e in found
        for claim in claims_of(e)
        if (outcome := outcomes.get((e.name, claim), Outcome.PROVEN)) is not None
    ]
    made: list[ClaimEntry] = []
    with Ledger(ledger_file) as ledger:
        for subject, claim, outcome in [*judged, *more]:
            seen = ledger.write(
                facts.FlowSeen("node", sample.NODE, sample.EXIT_A, "udp", 41641, 12, 1410),
                observer="router",
                subject=subject,
                episode="as-it-stands",
            )
            verdict = Verdict(outcome, f"That is how {claim} was found.", (seen,), (seen,))
            made.append(entries.to_entry(subject, claim, verdict, 1.0))
    entries.write(made, reports / "claims.json")
    whole = replace(
        sample.record(),
        run=RUN,
        began=time.time() - 60 if began is None else began,
        entries=tuple(made),
        commit=checkout.commit(),
        versions=versions,
        site=site,
        absences={e.name: {c.id: why for c in CLAIMS if (why := c.absence(e.smoke))} for e in found},
        sources={e.name: sources.digests(e) for e in found},
        digests=seal.digests([reports / "claims.json", ledger_file], reports),
    )
    record.write(whole, reports / "run.json")
    return reports


def edit(file: Path, how: Callable[[Any], Any]) -> None:
    """Edit a JSON file."""
    file.write_text(json.dumps(how(json.loads(file.read_text(encoding="utf-8"))), indent=2), encoding="utf-8")


def seal_anew(reports: Path) -> None:
    """Write digests and seal as somebody would who knows of them."""
    file = reports / "run.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    data["digests"] = {name: seal.digest(reports / name) for name in data["digests"]}
    file.write_text(json.dumps(seal.sealed(data)), encoding="utf-8")
