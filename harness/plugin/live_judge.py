"""The live site, as what judges examples."""

from collections.abc import Iterator
from contextlib import contextmanager

from harness.claims.catalogue import Claim
from harness.job.example import Example
from harness.ledger.ledger import Ledger
from harness.live.executions import LiveExecutions
from harness.live.site import ready_site
from harness.plugin.executions import Judged
from harness.plugin.reporting import Recording


class LiveJudge:
    """A cluster and a tailnet that exist, reached by this process's environment."""

    def __init__(self, executions: LiveExecutions) -> None:
        """Judge by what these executions come to."""
        self._executions = executions

    def judge(self, claim: Claim, example: Example) -> Judged:
        """Run what can be run there, then judge by what can be seen there. Raises LabError, UsageError."""
        found = self._executions.judge(claim, example)
        history = self._executions.ledger.history(example.name)
        return Judged(
            claim, example, found.verdict, found.seconds, history, beyond_sight=bool(found.beyond_sight)
        )


@contextmanager
def live_judge(recording: Recording, ledger: Ledger) -> Iterator[LiveJudge]:
    """The live site, for the time of the block. Raises UsageError naming the setting, LabError."""
    with recording.live_run() as run, ready_site(run, ledger, recording.progress) as ready:
        recording.live_ready(ready.where, ready.versions())
        yield LiveJudge(ready.executions)
