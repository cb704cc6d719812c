"""The episode in which the first exit node is no exit node any more, and a fallback has to serve.

Its routes are taken back on the control server, as an administrator would: it stays in the tailnet and
online. The job is the same to the letter.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from harness.job.example import Example
from harness.job.rendering import Rendered
from harness.job.submission import Submission
from harness.lab.topology import Membership
from harness.ledger.episodes import EXIT_WITHDRAWN
from harness.ledger.facts import EpisodeEnded, ExitWithdrawn, Fact
from harness.probes import following, recording, watch
from harness.probes.secret_scan import Secret
from harness.probes.stage import Stage


def run(stage: Stage, example: Example, rendered: Rendered) -> None:
    """Run the example without its exits of `via`, and fill the ledger. Raises LabError."""
    lab = stage.lab

    def write(fact: Fact, observer: str) -> None:
        stage.ledger.write(fact, observer=observer, subject=example.name, episode=EXIT_WITHDRAWN)

    egress = example.smoke.egress
    via = egress.via if egress else ()
    with (
        stage.progress.stage(example.name, f"without {', '.join(via)}: a fallback has to serve"),
        ThreadPoolExecutor(8, thread_name_prefix="fallback") as pool,
        _withdrawn(stage, via) as withdrawn,
    ):
        began = time.time()
        for fact in withdrawn:
            write(fact, "headscale")
        secret = Secret(lab.control.member_key(Membership(tags=example.smoke.tags)))
        begin = watch.mark(lab, pool)
        with Submission(lab.node.nomad, rendered, EXIT_WITHDRAWN) as submission:
            submission.register(secret.value)
            following.follow(
                stage, submission, rendered, pool, lambda _: None, serves=False, by_schedule=False
            )
            seen, _ = watch.since(lab, begin, pool)
            recording.write(stage.ledger, seen, subject=example.name, episode=EXIT_WITHDRAWN)
            submission.stop()
            for allocation in submission.allocations():
                for log in recording.task_logs(lab.node.nomad, allocation, secret.needles):
                    write(log, "nomad")
                recording.write_allocation(
                    stage.ledger, allocation, subject=example.name, episode=EXIT_WITHDRAWN
                )
        write(EpisodeEnded(began, time.time(), "the job ran by a fallback, or did not"), "harness")


@contextmanager
def _withdrawn(stage: Stage, names: tuple[str, ...]) -> Iterator[list[ExitWithdrawn]]:
    """For the time of the block, these hosts are approved for no route; afterwards for those they had."""
    client = stage.lab.control.client
    nodes = {node.name: node.id for node in client.nodes() if node.name in names}
    had = {name: client.routes(node) for name, node in nodes.items()}
    try:
        yield [ExitWithdrawn(name, had[name], client.approve(node, ())) for name, node in nodes.items()]
    finally:
        for name, node in nodes.items():
            client.approve(node, had[name])
