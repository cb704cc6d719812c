"""The companions of one run: made when they are first needed, kept until the run is over."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from harness.lab.topology import CLIENT, STRANGER
from harness.live.companion import Companion, Member, Witness
from harness.live.stage import LiveStage


class Companions:
    """Owns the members and the witnesses. One that cannot be made is an error each time it is asked for."""

    def __init__(self, stage: LiveStage) -> None:
        """Describe them; nothing runs before it is asked for."""
        self._stage = stage
        self._members: dict[str, Member] = {}
        self._witnesses: dict[str, Witness] = {}
        self._locks = {CLIENT: threading.Lock(), STRANGER: threading.Lock()}
        self._witness_lock = threading.Lock()

    def member(self, name: str) -> Member | None:
        """The client, or the stranger; None where no setting names one. Raises LabError, UsageError."""
        tailnet = self._stage.settings.tailnet
        belonging = tailnet.client if name == CLIENT else tailnet.stranger
        if belonging is None:
            return None
        with self._locks[name]:
            if name not in self._members:
                with self._stage.progress.stage(name, "joins the tailnet"):
                    self._members[name] = Member(self._stage, name, belonging).__enter__()
            return self._members[name]

    def witness(self, node: str) -> Witness:
        """The witness on a client of the cluster, by the client's id. Raises LabError."""
        with self._witness_lock:
            if node not in self._witnesses:
                self._witnesses[node] = Witness(self._stage, node).__enter__()
            return self._witnesses[node]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Side by side, as each is waited for.
        every: list[Companion] = [*self._members.values(), *self._witnesses.values()]
        with ThreadPoolExecutor(max(1, len(every)), thread_name_prefix="companions") as pool:
            closed = [pool.submit(each.__exit__, None, None, None) for each in every]
        with ExitStack() as raising:
            for future in closed:
                raising.callback(future.result)
