"""Asks, again and again, for what a job serves: from where nobody may reach it, and where somebody may."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from harness.errors import LabError
from harness.job.example import ServePromise
from harness.lab.lab import Lab
from harness.lab.topology import CLIENT, STRANGER, Role
from harness.ledger.facts import RoundAsked, TailnetNode, Way
from harness.probes import listeners, serve
from harness.probes.asking import ADDRESS, Ask, ask

_SECONDS_EACH = 1.0
_PAUSE = 0.2  # seconds between two rounds of one host
_END_SECONDS = 30


class Rounds:
    """Owns the askers, one for each host and way; they ask from when it is made until it is ended."""

    def __init__(
        self,
        lab: Lab,
        promises: Sequence[ServePromise],
        joined: Sequence[TailnetNode],
        held: Sequence[int],
        pool: ThreadPoolExecutor,
    ) -> None:
        """Begin to ask.

        Args:
            lab: where the job runs.
            promises: its [[serve]] entries.
            joined: the nodes by which it joined the tailnet.
            held: the ports that its allocations were given on the Nomad node.
            pool: has a thread to spare for each host that asks.

        Raises:
            LabError: the control's listeners cannot be opened on the node.
        """
        self._lab = lab
        self._over = threading.Event()
        self._heard = threading.Condition()
        self._rounds: list[RoundAsked] = []
        self._listening = listeners.opened(lab.node.host)
        control = self._listening.__enter__()
        domain = lab.topology.tailnet_domain
        asks = [a for n, p in enumerate(promises, 1) for a in serve.of_promise(n, p, joined, domain)]
        outside = serve.from_outside(
            lab.topology.only(Role.NODE), {a.port for a in asks} | set(held), control
        )
        wanted = [a for a in asks if a.named != ADDRESS][:1]
        self._asking: list[Future[None]] = [
            pool.submit(self._ask, CLIENT, Way.TAILNET, wanted),
            # Who may not is not refused but ignored, so that each further way of asking would take a second.
            pool.submit(self._ask, STRANGER, Way.TAILNET, [*wanted, *serve.noticeboards(lab)]),
            *(
                pool.submit(self._ask, host.name, Way.DIRECT, outside)
                for host in lab.topology.with_role(Role.BYSTANDER)
            ),
        ]

    def _ask(self, by: str, way: Way, asks: Sequence[Ask]) -> None:
        host = self._lab.host(by)
        while not self._over.is_set():
            began = time.time()
            found = ask(host, asks, seconds=_SECONDS_EACH)
            reached = tuple(a.target for a in found if a.connected and not a.control)
            controls = [a for a in found if a.control]
            asked = len(found) - len(controls)
            connected = sum(a.connected for a in controls)
            with self._heard:
                self._rounds.append(
                    RoundAsked(by, way, began, time.time(), asked, reached, len(controls), connected)
                )
                self._heard.notify_all()
            self._over.wait(_PAUSE)

    def wait_for(self, number: int, *, since: float, answered: bool, seconds: float) -> bool:
        """Wait until every host has asked so often since a moment.

        Args:
            number: how often.
            since: Unix seconds.
            answered: whether of the client's only those count in which it was answered.
            seconds: how long it is waited at most.

        Returns:
            Whether they had in time.
        """
        hosts = {CLIENT, STRANGER, *(h.name for h in self._lab.topology.with_role(Role.BYSTANDER))}

        def enough() -> bool:
            counted = [
                r.by
                for r in self._rounds
                if r.began >= since and (r.connected or r.by != CLIENT or not answered)
            ]
            return all(counted.count(host) >= number for host in hosts)

        with self._heard:
            return self._heard.wait_for(lambda: enough() or self._broken(), seconds) and enough()

    def _broken(self) -> bool:
        return any(f.done() and f.exception() for f in self._asking)

    def end(self) -> list[RoundAsked]:
        """Ask no more, and give every round. Raises LabError when a host could not ask."""
        self._over.set()
        try:
            for asking in self._asking:
                asking.result(_END_SECONDS)
        finally:
            self._listening.__exit__(None, None, None)
        if not self._rounds:
            raise LabError("nobody has asked for what the job serves")
        return sorted(self._rounds, key=lambda r: r.began)
