"""Runs what a claim rests on, when it is first asked for, and never twice."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from harness.claims import catalogue
from harness.claims.catalogue import Claim
from harness.claims.promises import exits, expectation_of
from harness.claims.verdict import Outcome, Verdict
from harness.errors import NoTailCarError
from harness.faults.fault import Fault
from harness.faults.pace import Pace
from harness.job.example import Example
from harness.job.rendering import Rendered, fill, root_of
from harness.lab.topology import Topology
from harness.ledger.episodes import (
    ADDRESS_WRONG,
    ESCAPE,
    EXIT_ABSENT,
    EXIT_WITHDRAWN,
    PORTS,
)
from harness.ledger.facts import EpisodeEnded
from harness.ledger.ledger import History
from harness.probes import as_it_stands, fallback, guard, ports, under_fault
from harness.probes.stage import Stage, site_values

_Run = Callable[[Stage, Example, Rendered], None]


def _with_ports(stage: Stage, example: Example, rendered: Rendered) -> None:
    """Run the execution that the episode of open ports is a part of, where there is one."""
    egress = example.smoke.egress
    run = fallback.run if egress and egress.fallback else ports.run
    run(stage, example, rendered)


_FURTHER: Mapping[str, _Run] = {
    EXIT_ABSENT: guard.run,
    ADDRESS_WRONG: guard.run,
    EXIT_WITHDRAWN: fallback.run,
    PORTS: ports.run,
    ESCAPE: _with_ports,
}
"""What runs the episodes beyond as-it-stands."""


@dataclass(frozen=True)
class Judged:
    """A verdict, and the seconds that it took with all that was run for it."""

    claim: Claim
    example: Example
    verdict: Verdict
    seconds: float
    history: History = field(default_factory=lambda: History(()))
    """All that was observed of the example."""
    beyond_sight: bool = False
    """Whether nobody on this site could have proven it, whatever the example does."""

    def assert_proven(self) -> None:
        """Fail the scenario unless the claim is proven; an unproven one is no pass. Raises AssertionError.

        What nobody here can prove is skipped by pytest, with the reason; the session's exit code is that of
        an unproven claim all the same.
        """
        __tracebackhide__ = True
        if self.beyond_sight and self.verdict.outcome is Outcome.UNPROVEN:
            pytest.skip(f"unproven: {self.verdict.reason}")
        if self.verdict.outcome is not Outcome.PROVEN:
            raise AssertionError(f"{self.verdict.outcome}: {self.verdict.reason}")


class Executions:
    """Owns the runs of examples in one lab. A failure of the lab sticks: it is raised again, not rerun."""

    def __init__(self, stage: Stage) -> None:
        """Run in this lab, write to this ledger."""
        self.stage = stage
        self._rendered: dict[str, Rendered] = {}
        self._faulted: dict[str, Rendered] = {}
        self._failed: dict[str, NoTailCarError] = {}

    def adopt(self, example: Example, rendered: Rendered) -> None:
        """Take an execution as it stands that somebody else has run in this lab, into this ledger."""
        self._rendered[example.name] = rendered

    def judge(self, claim: Claim, example: Example) -> Judged:
        """Run what the claim needs, then judge. Raises LabError or UsageError."""
        began = time.monotonic()
        if first := self._failed.get(example.name):
            # Without the way that it came before, to which each raising would add its own.
            raise first.with_traceback(None)
        try:
            rendered = self._run(claim, example)
            expectation = expectation_of(example, rendered, self.stage.lab.topology)
            history = self.stage.ledger.history(example.name)
            verdict = catalogue.judge(claim, history, expectation)
        except NoTailCarError as error:
            self._failed[example.name] = error
            raise
        return Judged(claim, example, verdict, time.monotonic() - began, history)

    def judge_under(self, fault: type[Fault], example: Example, pace: Pace) -> Judged:
        """Run the example while a fault befalls it, then judge. Raises LabError; it may not be healed."""
        began = time.monotonic()
        claim = catalogue.fault_claim(fault.name, fault.title, example.smoke.kind)
        rendered = self._faulted.get(example.name) or self.stage.render(example)
        self._faulted[example.name] = rendered
        under_fault.run(self.stage, example, rendered, fault, pace)
        expectation = expectation_of(example, rendered, self.stage.lab.topology)
        history = self.stage.ledger.history(example.name)
        verdict = catalogue.judge(claim, history, expectation)
        return Judged(claim, example, verdict, time.monotonic() - began, history)

    def _run(self, claim: Claim, example: Example) -> Rendered:
        if example.name not in self._rendered:
            self._rendered[example.name] = as_it_stands.run(self.stage, example)
        rendered = self._rendered[example.name]
        for episode, run in _FURTHER.items():
            if episode in claim.episodes and not self._over(example, episode):
                run(self.stage, example, rendered)
        return rendered

    def _over(self, example: Example, episode: str) -> bool:
        """Whether an episode has been run: one run may give several, and as-it-stands gives some of them."""
        return bool(self.stage.ledger.history(example.name).episode(episode).of(EpisodeEnded))


def check_promises(examples: list[Example], topology: Topology) -> None:
    """Refuse what examples ask and this lab does not have, before anything starts. Raises UsageError."""
    values = site_values(topology, "")
    for example in examples:
        if example.smoke.egress:
            exits(example, (*example.smoke.egress.via, *example.smoke.egress.fallback), topology)
        fill(example.smoke.vars, values, example.smoke_file)
        root_of(example)
