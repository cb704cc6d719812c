"""What the gate comes to: requirements, each met or not, with its reason."""

import re
from dataclasses import dataclass
from enum import StrEnum

# What XML 1.0 cannot hold, even escaped (its section 2.2); with it goes what a terminal would obey.
_UNPRINTABLE = re.compile("[^\t\n\r\u0020-\u007e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Standing(StrEnum):
    """What became of a requirement."""

    MET = "met"
    ALLOWED = "allowed"
    """Not met, and the policy lets that pass."""
    REFUSED = "refused"


@dataclass(frozen=True)
class Requirement:
    """One thing that is asked of the reports, and why it is met or not."""

    about: str
    """`policy`, `reports`, `run`, `versions`, or the name of an example."""
    name: str
    """What is asked: `age`, or the id of a claim."""
    standing: Standing
    why: str


@dataclass(frozen=True)
class Decision:
    """All requirements, and what else a person should know of."""

    requirements: tuple[Requirement, ...]
    notes: tuple[str, ...] = ()

    def of(self, standing: Standing) -> tuple[Requirement, ...]:
        """The requirements that stand so."""
        return tuple(r for r in self.requirements if r.standing is standing)

    @property
    def passed(self) -> bool:
        """Whether none is refused. Where nothing is asked, nothing passes."""
        return bool(self.requirements) and not self.of(Standing.REFUSED)


def held(about: str, name: str, problem: str, good: str) -> Requirement:
    """A requirement that is met where there is no problem, and refused for it otherwise."""
    return Requirement(about, name, Standing.REFUSED if problem else Standing.MET, problem or good)


def clean(text: str) -> str:
    """The text of somebody's file with a mark in the place of each character that is none to show."""
    return _UNPRINTABLE.sub("\ufffd", text)
