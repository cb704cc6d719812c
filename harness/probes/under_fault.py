"""The episode in which a fault befalls the job, while requests are sent: by it, or to what it serves."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from harness.errors import LabError
from harness.faults.fault import Fault, Scene
from harness.faults.pace import Pace
from harness.job.example import Example
from harness.job.rendering import Rendered
from harness.job.submission import OwnNamespace, Submission
from harness.lab.router import Capture
from harness.lab.topology import Membership, Role
from harness.ledger.episodes import under
from harness.ledger.facts import EpisodeEnded, Fact, FaultSeen, Phase, RequestSent, RoundAsked
from harness.management.waiting import wait_until
from harness.probes import packets, recording, watch
from harness.probes.drum import Drum
from harness.probes.held import Held, placed
from harness.probes.rounds import Rounds
from harness.probes.secret_scan import Secret
from harness.probes.stage import Stage

_BEFORE_SECONDS = 60
_RECOVERY_SECONDS = 6
_JOIN_SECONDS = 60


class Traffic(Protocol):
    """What is sent while a fault lasts, from when it is made until its end."""

    def wait_for(self, number: int, *, since: float, answered: bool, seconds: float) -> bool:
        """Whether so much was sent, or was answered, since a moment, within some seconds."""

    def end(self) -> "list[RequestSent] | list[RoundAsked]":
        """Send no more, and give what became of all of it. Raises LabError when it died."""


def run(stage: Stage, example: Example, rendered: Rendered, kind: type[Fault], pace: Pace) -> None:
    """Run the example, let the fault happen, fill the ledger. Raises LabError, also when it does not heal."""
    with (
        stage.progress.stage(example.name, f"{kind.name}: {kind.title}") as shown,
        ThreadPoolExecutor(12, thread_name_prefix="fault") as pool,
    ):
        _Episode(stage, example, rendered, pace=pace, pool=pool, progress=shown.update).run(kind)


class _Episode:
    """One execution of one example under one fault."""

    def __init__(
        self,
        stage: Stage,
        example: Example,
        rendered: Rendered,
        *,
        pace: Pace,
        pool: ThreadPoolExecutor,
        progress: Callable[[str], None],
    ) -> None:
        self._stage = stage
        self._lab = stage.lab
        self._example = example
        self._rendered = rendered
        self._pace = pace
        self._pool = pool
        self._progress = progress
        self._serves = bool(example.smoke.serve)
        self._episode = ""

    def _write(self, fact: Fact, observer: str) -> None:
        self._stage.ledger.write(fact, observer=observer, subject=self._example.name, episode=self._episode)

    def run(self, kind: type[Fault]) -> None:
        """Run the job with its traffic, befall it, read the observers."""
        lab, self._episode = self._lab, under(kind.name)
        began = time.time()
        known = {n.id for n in lab.control.client.nodes()}
        secret = Secret(lab.control.member_key(Membership(tags=self._example.smoke.tags)))
        start = watch.mark(lab, self._pool)
        capture = None if self._serves else self._capture(kind)
        with Submission(lab.node.nomad, self._rendered, OwnNamespace(self._episode)) as submission:
            submission.register(secret.value)
            allocations = placed(submission, self._rendered)
            # A batch job's workers are held: what is sent from where they run is the drum's.
            with Held(lab.node.host, submission, self._rendered, allocations, self._pool) as held:
                scene = Scene(lab, self._example, held.allocations[0], submission.namespace)
                outcome = self._befall(kind(scene), self._traffic(held, known), began)
            self._progress("observers are read")
            seen, _ = watch.since(lab, start, self._pool)
            recording.write(self._stage.ledger, seen, subject=self._example.name, episode=self._episode)
            if capture:
                self._read_capture(capture)
            submission.stop()
            recording.write_job(
                self._stage.ledger,
                lab.node.nomad,
                submission.allocations(),
                secret.needles,
                subject=self._example.name,
                episode=self._episode,
            )
        for node in lab.control.client.nodes():
            if node.id not in known and not lab.members.get(node.name):
                lab.control.client.delete(node.id)
        self._write(EpisodeEnded(began, time.time(), outcome), "harness")

    def _capture(self, kind: type[Fault]) -> Capture:
        node = self._lab.topology.only(Role.NODE).name
        foreign = packets.foreign_to(self._lab.topology)
        return Capture(self._lab.router.host, node, foreign, f"{self._example.name}-{kind.name}")

    def _read_capture(self, capture: Capture) -> None:
        closed, pcap = capture.close()
        self._stage.ledger.file.with_name(closed.file).write_bytes(pcap)
        for packet in packets.read(pcap):
            self._write(packet, "capture")
        self._write(closed, "capture")

    def _traffic(self, held: Held, known: set[str]) -> Traffic:
        if not self._serves:
            prefix = f"drum-{held.allocations[0].id[:8]}"
            return Drum(self._lab, held.containers[0], prefix, self._pace.rate, self._pool)
        client = self._lab.control.client
        joined = wait_until(
            lambda: [n for n in client.nodes() if n.id not in known] or None,
            seconds=_JOIN_SECONDS,
            what="the job joins the tailnet",
        )
        ports = [p for a in held.allocations for p in self._lab.node.nomad.ports(a.id)]
        return Rounds(self._lab, self._example.smoke.serve, joined, ports, self._pool)

    def _befall(self, fault: Fault, traffic: Traffic, began: float) -> str:
        """Inject, show, heal, while requests are sent; write down what became of them."""
        try:
            with fault.scene.kept:
                return self._happen(fault, traffic, began)
        finally:
            for fact in traffic.end():
                self._write(fact, "sender")

    def _happen(self, fault: Fault, traffic: Traffic, began: float) -> str:
        amounts = self._pace.amounts(serves=self._serves)

        def reached(phase: Phase, at: float, what: str) -> float:
            self._write(FaultSeen(fault.name, phase, at, what), "harness")
            return time.time()

        if not traffic.wait_for(amounts.before, since=began, answered=True, seconds=_BEFORE_SECONDS):
            raise LabError("the requests are not answered even before the fault")
        self._progress(f"{fault.name}: happens")
        reached(Phase.INJECTED, time.time(), fault.inject())
        shows = fault.shown()
        shown = reached(Phase.SHOWN, time.time(), shows)
        traffic.wait_for(amounts.during, since=shown, answered=False, seconds=amounts.seconds)
        self._progress(f"{fault.name}: is healed")
        healing = fault.heal()
        healed = reached(Phase.HEALED, time.time(), healing)
        again = traffic.wait_for(amounts.after, since=healed, answered=True, seconds=_RECOVERY_SECONDS)
        return "requests are answered again" if again else "requests are not answered again"
