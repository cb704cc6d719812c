"""What changed since the last green run. Pure.

Runs of different examples and selections are compared by what both have; what one has alone is said apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from harness.claims.verdict import Outcome
from harness.report.history import Past, of_site

_MUCH = 0.9
"""A green run that judged this share of what another one shares with this run is as good to compare with."""
SLOWER = 2.0
"""So many times as long as usual is worth a word."""
_NOTICED = 2.0
"""Seconds more below which nobody notices."""
_USUAL = 5
"""Green runs whose median time is the usual one."""
_NAMED = 4
"""Claims that are called by their names, and examples in the place of more."""
Key = tuple[str, str]
"""An example and a claim."""


@dataclass(frozen=True)
class Slower:
    """A stage that took much longer than usual."""

    stage: str
    seconds: float
    usual: float

    @property
    def ratio(self) -> float:
        """How many times as long."""
        return self.seconds / self.usual


@dataclass(frozen=True)
class Changes:
    """A run beside the last green one that judged the same."""

    since: Past
    lost: Mapping[Key, Outcome]
    """Proven then, and not now: what they are now."""
    regained: tuple[Key, ...]
    """Proven now, and not in the run that judged them before."""
    new: tuple[Key, ...]
    """Judged for the first time."""
    absent: tuple[Key, ...]
    """Proven then, and not judged now."""
    slower: tuple[Slower, ...]

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return bool(self.lost or self.regained or self.new or self.absent or self.slower)

    @property
    def lost_rows(self) -> list[tuple[str, str, Outcome]]:
        """What was lost: example, claim, and what it is now."""
        return [(subject, claim, outcome) for (subject, claim), outcome in self.lost.items()]


def changes(now: Past, history: Sequence[Past]) -> Changes | None:
    """Compare a run with earlier ones at its site.

    Args:
        now: the run.
        history: earlier runs, the newest last.

    Returns:
        What changed since the last green run that judged as much of the same as any other; None without one.
    """
    earlier = [past for past in of_site(history, now.site) if past.run != now.run]
    judged = now.judged
    shared = [(past, len(judged.keys() & past.judged.keys())) for past in earlier if past.green]
    most = max((number for _, number in shared), default=0)
    alike = [past for past, number in shared if number >= max(1, _MUCH * most)]
    if not alike:
        return None
    since = alike[-1]
    then = since.judged
    # What each claim last came to, whatever became of the rest of that run.
    last = {key: outcome for past in earlier for key, outcome in past.judged.items()}
    return Changes(
        since=since,
        lost={k: o for k, o in judged.items() if k in then and o is not Outcome.PROVEN},
        regained=tuple(
            k
            for k, o in judged.items()
            if o is Outcome.PROVEN and last.get(k, Outcome.PROVEN) is not Outcome.PROVEN
        ),
        new=tuple(k for k in judged if k not in last),
        absent=tuple(k for k in then if k not in judged),
        slower=slower(now, [past for past in earlier if past.green]),
    )


def slower(now: Past, green: Sequence[Past]) -> tuple[Slower, ...]:
    """The stages that took much longer than usual, the worst first."""
    found = (
        Slower(stage, seconds, usual)
        for stage, seconds in now.stages.items()
        if (usual := usual_seconds(stage, now.workers, green))
    )
    return tuple(
        sorted(
            (s for s in found if s.ratio >= SLOWER and s.seconds - s.usual >= _NOTICED),
            key=lambda s: -s.ratio,
        )
    )


def usual_seconds(stage: str, workers: int, green: Sequence[Past]) -> float:
    """The median time of a stage in the last green runs of as many workers; 0 where there is none."""
    times = [past.stages[stage] for past in green if past.workers == workers and stage in past.stages]
    return median(times[-_USUAL:]) if times else 0.0


def by_example(keys: Iterable[Key]) -> dict[str, tuple[str, ...]]:
    """The claims of each example, in their order."""
    found: dict[str, tuple[str, ...]] = {}
    for subject, claim in keys:
        found[subject] = (*found.get(subject, ()), claim)
    return found


def words(keys: Sequence[Key]) -> str:
    """Some claims in short: each by its name while they are few, else how many of which examples."""
    examples = by_example(keys)
    if len(keys) <= _NAMED:
        return "; ".join(f"{subject}: {', '.join(claims)}" for subject, claims in examples.items())
    named = list(examples)[:_NAMED]
    more = f" and {len(examples) - _NAMED} more" if len(examples) > _NAMED else ""
    return f"{len(keys)} claims of {', '.join(named)}{more}"
