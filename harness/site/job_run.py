"""A job that a scenario has let run, and what it comes to."""

from collections.abc import Iterator
from typing import Protocol

from harness.claims.verdict import Verdict
from harness.job.example import Example
from harness.ledger.ledger import History
from harness.management.nomad import Allocation


class JobRun(Protocol):
    """A handle on one run of a job. It is over when its scenario is, at the latest."""

    @property
    def example(self) -> Example:
        """The job, and what it promises."""

    @property
    def namespace(self) -> str:
        """The Nomad namespace that it runs in, which nobody else uses."""

    @property
    def history(self) -> History:
        """What was observed so far."""

    def allocations(self) -> list[Allocation]:
        """Its allocations, as Nomad has them now, or had them at the end of its work. Raises LabError."""

    def log(self, task: str) -> str:
        """What a task has printed so far, in all of its allocations, both streams. Raises LabError."""

    def finish(self) -> None:
        """Wait for the end of its work, stop it, and read the observers; once over, does nothing.

        Raises:
            LabError: an observer died, or the job came to nothing at all.
        """


class Claims(Protocol):
    """The verdicts on one run, by the ids of claims; each is judged when it is first asked for."""

    def __getitem__(self, claim: str) -> Verdict:
        """The verdict on one claim. Raises KeyError for one that is not made of this job, LabError."""

    def __iter__(self) -> Iterator[str]:
        """The ids of all claims that are made of this job."""

    def assert_proven(self, *claims: str) -> None:
        """Fail the scenario unless these claims are proven; without any named, all. Raises AssertionError."""
