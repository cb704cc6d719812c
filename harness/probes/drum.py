"""Traffic with tokens, many requests a second, from where a task of a job runs (fixtures/nomad/drum.py)."""

import json
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from harness.errors import LabError
from harness.lab.lab import Lab
from harness.lab.running_host import FILES
from harness.lab.topology import Role
from harness.ledger.facts import RequestSent
from harness.management.exec_stream import ExecStream

_END_SECONDS = 15


class Drum:
    """Owns one drum; it beats from when it is made until it is ended."""

    def __init__(self, lab: Lab, container: str, prefix: str, rate: int, pool: ThreadPoolExecutor) -> None:
        """Begin to send from the network namespace of a container of the node, by the proxies it was given.

        Args:
            lab: where.
            container: the container's name in the node's engine; a main task's.
            prefix: begins each token.
            rate: requests a second.
            pool: has a thread to spare until the drum is ended.

        Raises:
            LabError: the container does not run, or the drum does not start.
        """
        found = lab.node.host.run("docker", "inspect", "--format", "{{.State.Pid}}", container)
        pid = found.stdout.strip()
        if found.exit_code or pid == "0":
            raise LabError(f"there is nobody to send from: container {container} does not run")
        echo = lab.topology.only(Role.ECHO)
        urls = [f"http://{name}/" for name in (*echo.names_v4, *echo.names_v6)]
        urls += [f"https://{name}/" for name in echo.names_v4]
        self._sent: list[RequestSent] = []
        self._heard = threading.Condition()
        self._stream: ExecStream = lab.node.host.open(
            *("nsenter", "-t", pid, "-n", "python3", "-u", f"{FILES}/drum.py"),
            *(f"/proc/{pid}/environ", prefix, str(rate), *urls),
        )
        self._reading: Future[None] = pool.submit(self._read)

    def _read(self) -> None:
        unread = b""
        while piece := self._stream.read(65536):
            *lines, unread = (unread + piece).split(b"\n")
            found = [_sent(json.loads(line)) for line in lines if line.strip()]
            with self._heard:
                self._sent += found
                self._heard.notify_all()

    def wait_for(self, number: int, *, since: float, answered: bool, seconds: float) -> bool:
        """Wait until so many requests are over that were begun since a moment.

        Args:
            number: how many.
            since: Unix seconds.
            answered: whether only those count that were answered.
            seconds: how long it is waited at most.

        Returns:
            Whether there were so many in time.
        """

        def enough() -> bool:
            return sum(1 for s in self._sent if s.began >= since and (s.answer or not answered)) >= number

        with self._heard:
            end = time.monotonic() + seconds
            while not enough():
                left = end - time.monotonic()
                if left <= 0 or (self._reading.done() and not self._heard.wait(0)):
                    return enough()
                self._heard.wait(min(left, 0.5))
            return True

    def end(self) -> list[RequestSent]:
        """Send no more, wait for what is under way, give all that was sent. Raises LabError when it died."""
        self._stream.end_input()
        try:
            self._reading.result(_END_SECONDS)
        finally:
            self._stream.close()
        if not self._sent:
            raise LabError("the drum sent nothing", log=self._stream.complaint.decode("utf-8", "replace"))
        return sorted(self._sent, key=lambda s: s.began)


def _sent(line: dict[str, Any]) -> RequestSent:
    return RequestSent(line["token"], line["began"], line["seconds"], line["answer"], line["error"])
