"""One execution of an example on a live site: where, of what, under which name, and what is written of it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.job.example import Example
from harness.ledger.episodes import AS_IT_STANDS
from harness.ledger.facts import Fact
from harness.live import naming
from harness.live.companions import Companions
from harness.live.stage import LiveStage


@dataclass(frozen=True)
class Scene:
    """What everyone who looks at an execution needs of it."""

    stage: LiveStage
    """Where it runs."""
    companions: Companions
    """Who is asked from, and the witnesses."""
    example: Example
    pool: ThreadPoolExecutor
    """For what is done side by side."""

    @property
    def name(self) -> str:
        """How what joins the tailnet is called, or begins."""
        return naming.tailnet_name(self.stage.run.id, self.example.name, "run")

    def write(self, fact: Fact, observer: str, episode: str = AS_IT_STANDS) -> None:
        """Append a fact to the ledger."""
        self.stage.ledger.write(fact, observer=observer, subject=self.example.name, episode=episode)
