"""The episode in which the first exit node is no exit node any more, and a fallback has to serve.

Its routes are taken back on the control server, as an administrator would: it stays in the tailnet and
online. The job is the same to the letter. The episode of open ports is part of this execution, so that there
need be none for it alone.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from harness.job.example import Example
from harness.job.rendering import Rendered
from harness.job.submission import OwnNamespace, Submission
from harness.lab.topology import Membership
from harness.ledger.episodes import EXIT_WITHDRAWN, PORTS
from harness.ledger.facts import EpisodeEnded, ExitWithdrawn, Fact
from harness.management.nomad import Allocation
from harness.probes import escape, following, ports, recording, watch
from harness.probes.following import Watched
from harness.probes.secret_scan import Secret
from harness.probes.stage import Stage


def run(stage: Stage, example: Example, rendered: Rendered) -> None:
    """Run the example without its exits of `via`, and fill the ledger. Raises LabError."""
    lab = stage.lab

    def write(fact: Fact, observer: str) -> None:
        stage.ledger.write(fact, observer=observer, subject=example.name, episode=EXIT_WITHDRAWN)

    egress = example.smoke.egress
    via = egress.via if egress else ()
    looks = not stage.ledger.history(example.name).episode(PORTS)
    with (
        stage.progress.stage(example.name, f"without {', '.join(via)}: a fallback has to serve"),
        ThreadPoolExecutor(8, thread_name_prefix="fallback") as pool,
        _withdrawn(stage, via) as withdrawn,
    ):
        began = time.time()
        for fact in withdrawn:
            write(fact, "headscale")
        secret = Secret(lab.control.member_key(Membership(tags=example.smoke.tags)))
        if looks and egress and egress.confined:
            escape.control(stage, example, pool)
        begin = watch.mark(lab, pool)
        with (
            Submission(lab.node.nomad, rendered, OwnNamespace(EXIT_WITHDRAWN)) as submission,
            ports.Observers(stage, example, pool) if looks else nullcontext() as observers,
        ):
            submission.register(secret.value)
            # What the node answers to the scan is the harness's own doing.
            asked = observers.scanner.addresses if observers else frozenset()

            def read(earlier: watch.Mark) -> None:
                seen, _ = watch.since(lab, earlier, pool)
                traffic = replace(seen, flows=tuple(f for f in seen.flows if f.destination not in asked))
                recording.write(stage.ledger, traffic, subject=example.name, episode=EXIT_WITHDRAWN)

            def try_to_escape(allocations: list[Allocation]) -> None:
                nonlocal begin
                # What gets out meanwhile is none of the job's traffic.
                read(begin)
                escape.run(stage, example, rendered, allocations, pool)
                begin = watch.mark(lab, pool)

            held = observers.scan_held(submission, rendered, try_to_escape) if observers else None
            following.follow(
                Watched(lab.node.nomad, lab.node.host),
                submission,
                rendered,
                pool,
                lambda _: None,
                serves=False,
                by_schedule=False,
            )
            read(begin)
            submission.stop()
            if observers and held:
                observers.finish(submission, held.allocations, held.outcome)
            recording.write_job(
                stage.ledger,
                lab.node.nomad,
                submission.allocations(),
                secret.needles,
                subject=example.name,
                episode=EXIT_WITHDRAWN,
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
