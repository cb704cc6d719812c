"""The episode in which a fault befalls the job, while requests are sent from where its worker runs."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from harness.errors import LabError
from harness.faults.fault import Fault, Scene
from harness.job.example import Example
from harness.job.rendering import Rendered
from harness.job.submission import Submission
from harness.lab.topology import Membership
from harness.ledger.episodes import under
from harness.ledger.facts import EpisodeEnded, Fact, FaultSeen, Phase
from harness.probes import recording, watch
from harness.probes.drum import RATE, Drum
from harness.probes.held import Held, placed
from harness.probes.secret_scan import Secret
from harness.probes.stage import Stage

_BEFORE = RATE  # requests that must be answered before anything happens
_DURING = 3 * RATE  # requests that are sent while it lasts, once it shows
_AFTER = RATE  # requests that are answered again when it is over
_BEFORE_SECONDS = 15
_RECOVERY_SECONDS = 6


def run(stage: Stage, example: Example, rendered: Rendered, kind: type[Fault]) -> None:
    """Run the example, let the fault happen, fill the ledger. Raises LabError, also when it does not heal."""
    lab, episode = stage.lab, under(kind.name)

    def write(fact: Fact, observer: str) -> None:
        stage.ledger.write(fact, observer=observer, subject=example.name, episode=episode)

    with (
        stage.progress.stage(example.name, f"{kind.name}: {kind.title}") as shown,
        ThreadPoolExecutor(12, thread_name_prefix="fault") as pool,
    ):
        began = time.time()
        secret = Secret(lab.control.member_key(Membership(tags=example.smoke.tags)))
        start = watch.mark(lab, pool)
        with Submission(lab.node.nomad, rendered, episode) as submission:
            submission.register(secret.value)
            # A batch job's workers are held: what is sent from where they run is the drum's.
            with Held(lab.node.host, submission, rendered, placed(submission, rendered), pool) as held:
                allocation = held.allocations[0]
                scene = Scene(lab, example, allocation, submission.namespace)
                drum = Drum(lab, held.containers[0], f"drum-{allocation.id[:8]}", pool)
                with scene.kept:
                    try:
                        outcome = _befall(kind(scene), drum, write, shown.update, began)
                    finally:
                        sent = drum.end()
            for fact in sent:
                write(fact, "drum")
            shown.update("observers are read")
            seen, _ = watch.since(lab, start, pool)
            recording.write(stage.ledger, seen, subject=example.name, episode=episode)
            submission.stop()
            recording.write_job(
                stage.ledger,
                lab.node.nomad,
                submission.allocations(),
                secret.needles,
                subject=example.name,
                episode=episode,
            )
        write(EpisodeEnded(began, time.time(), outcome), "harness")


def _befall(
    fault: Fault,
    drum: Drum,
    write: Callable[[Fact, str], None],
    progress: Callable[[str], None],
    began: float,
) -> str:
    """Inject, show, heal; requests are sent before, during and after."""

    def reached(phase: Phase, at: float, what: str) -> None:
        write(FaultSeen(fault.name, phase, at, what), "harness")

    if not drum.wait_for(_BEFORE, since=began, answered=True, seconds=_BEFORE_SECONDS):
        raise LabError("the requests are not answered even before the fault")
    progress(f"{fault.name}: happens")
    at = time.time()
    reached(Phase.INJECTED, at, fault.inject())
    what = fault.shown()
    shown_at = time.time()
    reached(Phase.SHOWN, shown_at, what)
    drum.wait_for(_DURING, since=shown_at, answered=False, seconds=_DURING / RATE + 4)
    progress(f"{fault.name}: is healed")
    what = fault.heal()
    healed_at = time.time()
    reached(Phase.HEALED, healed_at, what)
    again = drum.wait_for(_AFTER, since=healed_at, answered=True, seconds=_RECOVERY_SECONDS)
    return "requests are answered again" if again else "requests are not answered again"
