"""The echo service of the lab's internet: the receiver whose word counts."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import LabError
from harness.lab import echo_book
from harness.lab.echo_book import EchoLine
from harness.lab.host_plans import ECHO_BOOK, ECHO_LIE
from harness.lab.running_host import RunningHost
from harness.lab.topology import Host
from harness.management.waiting import wait_until

_MARK = "mark-"
_READY_SECONDS = 10


class Echo:
    """Speaks with the echo service over its container (which the lab owns)."""

    def __init__(self, host: RunningHost, described: Host) -> None:
        """Take a host that was started."""
        self.host = host
        self._port = described.port("http")
        self._url = f"http://127.0.0.1:{self._port}/"

    def wait_until_ready(self) -> None:
        """Wait until the service answers on its own loopback. Raises LabError."""
        self.host.wait_for_listener(
            f"TCP:127.0.0.1:{self._port}", seconds=_READY_SECONDS, what="the echo service listens"
        )
        wait_until(
            lambda: (
                self.host.run("curl", "-sf", "-o", "/dev/null", f"{self._url}?token={_MARK}ready").exit_code
                == 0
            ),
            seconds=_READY_SECONDS,
            what="the echo service answers",
            tail=self.host.log,
        )

    def seen(self) -> list[EchoLine]:
        """Every request so far, but the harness's own marks.

        A mark is sent first and must be in the book: a service that died or stopped writing is an
        error, never "nothing came". Raises LabError.
        """
        mark = f"{_MARK}{secrets.token_hex(4)}"
        script = 'curl -sSf -o /dev/null "$0" && cat "$1"'
        book = self.host.run("sh", "-c", script, f"{self._url}?token={mark}", ECHO_BOOK).expect().stdout
        lines = echo_book.read(book)
        if not any(line.request.token == mark for line in lines):
            raise LabError("the echo service answers but no longer writes down what it sees")
        return [line for line in lines if not line.request.token.startswith(_MARK)]

    @contextmanager
    def lying(self, address: str) -> Iterator[None]:
        """For the time of the block, every caller is told this address instead of its own."""
        self.host.run("sh", "-c", f"echo {address} > {ECHO_LIE}").expect()
        try:
            yield
        finally:
            self.host.run("rm", "-f", ECHO_LIE).expect()
