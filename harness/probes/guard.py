"""Two episodes that put the guard to the test: the exit node absent, and the observed address wrong.

The job is the same to the letter. What differs is its surroundings: an auth key whose node is shown
no exit node by the tailnet's policy; a check service that names an address which is no exit's.
"""

import time
from concurrent.futures import ThreadPoolExecutor

from harness.job.example import Example
from harness.job.rendering import Rendered
from harness.job.submission import OwnNamespace, Submission, started
from harness.lab.echo_book import EchoLine
from harness.lab.topology import Membership
from harness.ledger.episodes import ADDRESS_WRONG, EXIT_ABSENT
from harness.ledger.facts import EpisodeEnded, Fact, LieTold, Moment, TailnetSeen
from harness.management.nomad import Allocation
from harness.probes import recording, turning_point
from harness.probes.secret_scan import Secret
from harness.probes.stage import CHECK_LIE, Stage

_DECIDED_SECONDS = 60
_NOBODY = "guest@example.com"
"""The user whom acl/example-tailscale-acl.json shows a noticeboard and no exit node."""


def run(stage: Stage, example: Example, rendered: Rendered) -> None:
    """Run both episodes side by side and fill the ledger. Raises LabError when the lab fails."""
    lab = stage.lab
    with (
        ThreadPoolExecutor(6, thread_name_prefix="guard") as pool,
        stage.progress.stage(example.name, "the guard, put to the test"),
    ):
        member_key = lab.control.member_key
        absent_key = pool.submit(member_key, Membership(user=_NOBODY))
        wrong_key = pool.submit(member_key, Membership(tags=example.smoke.tags))
        earlier = len(lab.echo.seen())
        with lab.echo.lying(CHECK_LIE):
            absent = pool.submit(
                _decide, stage, example, rendered, EXIT_ABSENT, secret=Secret(absent_key.result()), pool=pool
            )
            wrong = pool.submit(
                _decide, stage, example, rendered, ADDRESS_WRONG, secret=Secret(wrong_key.result()), pool=pool
            )
            decided = {EXIT_ABSENT: absent.result(), ADDRESS_WRONG: wrong.result()}
        lines = lab.echo.seen()[earlier:]
    for episode, allocations in decided.items():
        for line in lines:
            if any(_belongs(line, allocation) for allocation in allocations):
                _write(stage, example, line.request, "echo", episode)
    asked = sum(line.lied_to for line in lines)
    _write(stage, example, LieTold(CHECK_LIE, asked), "echo", ADDRESS_WRONG)


def _decide(
    stage: Stage,
    example: Example,
    rendered: Rendered,
    episode: str,
    *,
    secret: Secret,
    pool: ThreadPoolExecutor,
) -> list[Allocation]:
    """Run the job until its guard refuses or its worker starts: one of the two decides each allocation."""
    began = time.time()
    nomad = stage.lab.node.nomad
    runs = started(rendered.workers)
    with Submission(nomad, rendered, OwnNamespace(episode)) as submission:
        submission.register(secret.value)
        node = stage.lab.node.host
        for _ in turning_point.turns(
            node, submission, rendered, pool, count=rendered.count, seconds=_DECIDED_SECONDS
        ):
            pass
        if episode == EXIT_ABSENT:
            _write(
                stage,
                example,
                TailnetSeen(Moment.RUNNING, stage.lab.control.client.nodes()),
                "headscale",
                episode,
            )
        submission.stop()
        allocations = submission.allocations()
        recording.write_job(
            stage.ledger, nomad, allocations, secret.needles, subject=example.name, episode=episode
        )
    outcome = "a worker started" if any(map(runs, allocations)) else "no worker started"
    _write(stage, example, EpisodeEnded(began, time.time(), outcome), "harness", episode)
    return allocations


def _belongs(line: EchoLine, allocation: Allocation) -> bool:
    """Whether a request names its allocation, as the examples' workers do."""
    short = allocation.id[:8]
    return short in line.request.token or short in line.request.agent


def _write(stage: Stage, example: Example, fact: Fact, observer: str, episode: str) -> None:
    stage.ledger.write(fact, observer=observer, subject=example.name, episode=episode)
