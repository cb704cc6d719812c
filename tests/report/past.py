"""Earlier runs, written by hand."""

from harness.claims.verdict import Outcome
from harness.report.history import Past

P, R, U = Outcome.PROVEN, Outcome.REFUTED, Outcome.UNPROVEN
Verdicts = dict[str, dict[str, Outcome]]


def verdicts(**changed: Outcome | None) -> Verdicts:
    """Claims of two examples, proven but for those named, as in `worker_dns`; None: not judged."""
    found: Verdicts = {}
    for subject, claims in (("worker", ("egress.dns", "egress.address")), ("site", ("serve.private",))):
        for claim in (*claims, "ports.none_public"):
            outcome = changed.get(f"{subject}_{claim.partition('.')[2]}", P)
            if outcome is not None:
                found.setdefault(subject, {})[claim] = outcome
    return found


def past(
    number: int,
    found: Verdicts | None = None,
    *,
    stages: dict[str, float] | None = None,
    site: str = "lab",
    workers: int = 1,
    unfinished: bool = False,
) -> Past:
    """A run, a day after the one with the number before."""
    return Past(
        run=f"run-{number}",
        began=1_795_500_000.0 + number * 86400,
        seconds=20.0 + number,
        commit="4c1f0e2",
        verdicts=verdicts() if found is None else found,
        stages={"control: headscale": 1.0} if stages is None else stages,
        versions={"nomad": "1.11.3"},
        site=site,
        workers=workers,
        unfinished=unfinished,
    )
