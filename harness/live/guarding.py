"""Two episodes that put the guard to the test here: told an exit that is not there, and a wrong address.

In the lab it is the surroundings that differ; here nothing around the job is changed, so it is what the job
is told: the name of an exit that no node has, and a page of the observer's that lies (`/lie/ADDRESS`).
"""

import time
from concurrent.futures import ThreadPoolExecutor

from harness.job.example import Example
from harness.job.submission import started
from harness.lab.echo_book import EchoLine
from harness.ledger.episodes import ADDRESS_WRONG, EXIT_ABSENT
from harness.ledger.facts import EpisodeEnded, Fact, LieTold, Moment, TailnetSeen
from harness.live import naming
from harness.live.observer import ObserverClient
from harness.live.requests import of_job
from harness.live.settings import Belonging
from harness.live.stage import Joining, LiveStage
from harness.probes import recording, turning_point
from harness.probes.secret_scan import Secret
from harness.probes.stage import CHECK_LIE


def run(stage: LiveStage, observer: ObserverClient, example: Example) -> None:
    """Run both episodes side by side and fill the ledger. Raises LabError, UsageError."""
    with (
        ThreadPoolExecutor(6, thread_name_prefix="guard") as pool,
        stage.progress.stage(example.name, "the guard, put to the test"),
    ):
        both = [
            pool.submit(_decide, stage, observer, example, episode, pool)
            for episode in (EXIT_ABSENT, ADDRESS_WRONG)
        ]
        for each in both:
            each.result()


def _decide(
    stage: LiveStage, observer: ObserverClient, example: Example, episode: str, pool: ThreadPoolExecutor
) -> None:
    """Run the job until its guard refuses or its worker starts: one of the two decides each allocation."""

    def write(fact: Fact, by: str) -> None:
        stage.ledger.write(fact, observer=by, subject=example.name, episode=episode)

    began, mark = time.time(), observer.mark()
    name = naming.tailnet_name(stage.run.id, example.name, episode)
    token = naming.job_id(stage.run.id, example.name, episode)
    lie = f"{stage.settings.check_url.rstrip('/')}/lie/{CHECK_LIE}?token={token}"
    variables = stage.variables(
        example,
        name,
        exit_absent=episode == EXIT_ABSENT,
        lying_url=lie if episode == ADDRESS_WRONG else "",
    )
    joins = Joining(Belonging(tags=tuple(example.smoke.tags)), name)
    job = stage.submission(example, variables, episode, joins=joins)
    rendered, submission, secret = job.rendered, job.submission, Secret(job.key.value)
    with submission:
        job.register()
        turns = turning_point.turns(
            None, submission, rendered, pool, count=rendered.count, seconds=stage.settings.seconds
        )
        for _ in turns:
            pass
        if episode == EXIT_ABSENT:
            write(TailnetSeen(Moment.RUNNING, stage.joined(name)), stage.tailnet.called)
        submission.stop()
        allocations = submission.allocations()
        recording.write_job(
            stage.ledger, stage.nomad, allocations, secret.needles, subject=example.name, episode=episode
        )
    lines = observer.since(mark)
    for request in of_job(lines, [a.id for a in allocations], ()):
        write(request, "observer")
    if episode == ADDRESS_WRONG:
        write(LieTold(CHECK_LIE, _lies(lines, token)), "observer")
    runs = any(map(started(rendered.workers), allocations))
    write(EpisodeEnded(began, time.time(), "a worker started" if runs else "no worker started"), "harness")


def _lies(lines: list[EchoLine], token: str) -> int:
    return sum(line.lied_to for line in lines if line.request.token == token)
