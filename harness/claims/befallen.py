"""What a fault's episode holds of the fault itself, for the claims about it. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from math import inf

from harness.ledger.facts import FaultSeen, Phase
from harness.ledger.ledger import History, Observation


class Fate(StrEnum):
    """What became of a job's traffic under a fault: the first word of the verdict's reason."""

    HELD = "Held"
    """Answered also while it lasted, as it may be, and not otherwise."""
    STOPPED = "Stopped"
    """Nothing was answered while it lasted, and nothing went otherwise."""
    LEAKED = "Leaked"
    """Something went as it must not."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of time around a fault: Unix seconds, its end not within."""

    name: str
    """For a person: "before it"."""
    begin: float
    end: float

    def holds(self, at: float) -> bool:
        """Whether a moment is within."""
        return self.begin <= at < self.end


@dataclass(frozen=True)
class Times:
    """When a fault was injected, was shown, and was healed: Unix seconds."""

    injected: float
    shown: float
    healed: float

    @property
    def before(self) -> Stretch:
        """Until it happened."""
        return Stretch("before it", 0.0, self.injected)

    @property
    def during(self) -> Stretch:
        """While it lasted, and was known to: between its injection and its proof, nobody can say."""
        return Stretch("while it lasted", self.shown, self.healed)

    @property
    def after(self) -> Stretch:
        """Since it was healed."""
        return Stretch("after it", self.healed, inf)


@dataclass(frozen=True)
class Befallen:
    """A fault as an episode tells it."""

    told: tuple[Observation, ...]
    times: Times | None
    """Nothing where a phase is missing."""
    what: str
    """What happened, for a person."""
    missing: tuple[str, ...]
    """What was not seen of it."""


def befallen(episode: History) -> Befallen:
    """Read what an episode holds of its fault."""
    phases = {seen.phase: (o, seen) for o, seen in episode.of(FaultSeen)}
    times = Times(*(phases[p][1].reached_at for p in Phase)) if set(phases) == set(Phase) else None
    what = next((phases[p][1].what for p in Phase if p in phases), "nothing is known of the fault")
    return Befallen(
        tuple(o for o, _ in phases.values()),
        times,
        what,
        tuple(f"the fault was not {phase}" for phase in Phase if phase not in phases),
    )
