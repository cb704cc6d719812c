"""What judges examples, wherever they run. A scenario does not know which it is."""

from typing import Protocol

from harness.claims.catalogue import Claim
from harness.job.example import Example
from harness.plugin.executions import Judged


class Judge(Protocol):
    """Runs examples, and judges them by what is seen of them."""

    def judge(self, claim: Claim, example: Example) -> Judged:
        """Run what the claim rests on, once, then judge. Raises LabError, UsageError."""
