"""Runs what a claim rests on, on a live site, when it is first asked for, and never twice."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.claims.catalogue import Claim
from harness.claims.verdict import Outcome, Verdict
from harness.errors import NoTailCarError
from harness.job.example import Example
from harness.lab.topology import CLIENT, STRANGER
from harness.ledger.episodes import ADDRESS_WRONG, EXIT_ABSENT
from harness.ledger.facts import EpisodeEnded
from harness.ledger.ledger import Ledger
from harness.live import asking, guarding, sight
from harness.live.companions import Companions
from harness.live.episode import Episode, Ran
from harness.live.expecting import expectation_of
from harness.live.sight import Sight
from harness.live.stage import LiveStage

_OF_CONSUL = frozenset({"serve.reachable", "serve.private"})
"""The claims that also rest on Consul's catalogue, for a job that registers there."""
_GUARDED = frozenset({EXIT_ABSENT, ADDRESS_WRONG})


@dataclass(frozen=True)
class Found:
    """A verdict, the seconds that it took, and why nobody here could have proven it, where that is so."""

    verdict: Verdict
    seconds: float
    beyond_sight: str


class LiveExecutions:
    """Owns the runs of examples on one live site. A failure sticks: it is raised again, not rerun."""

    def __init__(self, stage: LiveStage, companions: Companions) -> None:
        """Run here, with these companions."""
        self._stage = stage
        self._companions = companions
        self._ran: dict[str, Ran] = {}
        self._failed: dict[str, NoTailCarError] = {}
        tailnet = stage.settings.tailnet
        self._sight = Sight(
            observer=stage.observer is not None,
            listed=stage.tailnet.listed,
            client=tailnet.client is not None,
            stranger=tailnet.stranger is not None and bool(tailnet.notice_url),
            services=bool(tailnet.tailscale_key),
            consul=stage.consul is not None,
        )

    @property
    def ledger(self) -> Ledger:
        """Where the observations are."""
        return self._stage.ledger

    def judge(self, claim: Claim, example: Example) -> Found:
        """Run what the claim needs, then judge. Raises LabError or UsageError."""
        began = time.monotonic()
        if first := self._failed.get(example.name):
            raise first.with_traceback(None)
        try:
            verdict, beyond = self._judge(claim, example)
        except NoTailCarError as error:
            self._failed[example.name] = error
            raise
        return Found(verdict, time.monotonic() - began, beyond)

    def _judge(self, claim: Claim, example: Example) -> tuple[Verdict, str]:
        if why := sight.not_run(example.smoke, self._sight):
            return Verdict(Outcome.UNPROVEN, f"Not run here: {why}."), why
        found = self._run(example)
        why_not = sight.limit(claim.id, self._sight)
        if claim.id in _OF_CONSUL and found.rendered.in_consul and not self._sight.consul:
            why_not = why_not or "nobody here reads Consul's catalogue; CONSUL_HTTP_ADDR says where it is"
        observer = self._stage.observer
        if not why_not and claim.episodes & _GUARDED and observer and not self._over(example, EXIT_ABSENT):
            guarding.run(self._stage, observer, example)
        node = found.node
        if claim.id == "serve.private" and not why_not:
            node = {a for a in node if not asking.is_inside(a)}
            if not node:
                why_not = "no client that it ran on has an address that leads there from the internet"
        expectation = expectation_of(example, found.rendered, self._stage.settings, node)
        history = self._stage.ledger.history(example.name)
        return sight.judge(claim, history, expectation, why_not), why_not

    def _run(self, example: Example) -> Ran:
        if example.name not in self._ran:
            with ThreadPoolExecutor(12, thread_name_prefix="episode") as pool:
                if example.smoke.serve:
                    # They join while the job starts.
                    for name in (CLIENT, STRANGER):
                        pool.submit(self._companions.member, name)
                episode = Episode(self._stage, self._companions, example, pool)
                self._ran[example.name] = episode.run()
        return self._ran[example.name]

    def _over(self, example: Example, episode: str) -> bool:
        return bool(self._stage.ledger.history(example.name).episode(episode).of(EpisodeEnded))
