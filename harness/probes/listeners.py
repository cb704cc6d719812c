"""Looks at what listens on the node: once, or all the time, and with something there that must be found."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from harness.errors import LabError
from harness.lab.running_host import FILES, RunningHost

_READY_SECONDS = 10.0
_VERSIONS = (4, 6)
_OURS = {"NOTAILCAR_CONTROL": "1"}
"""What tells a process of the harness from a job's (fixtures/nomad/look.py)."""
_WATCH_SECONDS = 600.0
"""A watch prints when something has changed; an episode is shorter."""


def look(node: RunningHost) -> str:
    """Look once: what fixtures/nomad/look.py prints. Raises LabError."""
    return node.run(f"{FILES}/look.py").expect().stdout


@contextmanager
def watched(node: RunningHost, pool: ThreadPoolExecutor) -> Iterator["Watch"]:
    """Look all the time, to the end of the block at the latest."""
    watch = Watch(node, pool)
    try:
        yield watch
    finally:
        watch.end()


class Watch:
    """Owns a watch of the node's sockets."""

    def __init__(self, node: RunningHost, pool: ThreadPoolExecutor) -> None:
        """Begin; the pool has a thread to spare."""
        self._node = node
        self._over = Event()
        self._said: Future[str] = pool.submit(self._follow)

    def _follow(self) -> str:
        watch = self._node.run(f"{FILES}/look.py", "watch", stdin=self._input(), silence=_WATCH_SECONDS)
        return watch.expect().stdout

    def _input(self) -> Iterator[bytes]:
        """Nothing, for as long as is watched: the watch ends with its input."""
        self._over.wait()
        yield from ()

    def end(self) -> str:
        """End it, which may be done again, and give what it printed. Raises LabError."""
        self._over.set()
        return self._said.result()


@contextmanager
def opened(node: RunningHost) -> Iterator[dict[int, int]]:
    """For the time of the block, the harness listens on the node beyond loopback. Raises LabError.

    Gives its TCP ports by the version of IP, 4 or 6: there is one of each, on every address.
    """
    stream = node.open(f"{FILES}/listen.py", environment=_OURS)
    try:
        ports = stream.read(64, _READY_SECONDS).decode().split()
        if len(ports) != len(_VERSIONS) or not all(map(str.isdecimal, ports)):
            raise LabError("the control's listeners do not start", log=stream.complaint.decode())
        yield dict(zip(_VERSIONS, map(int, ports), strict=True))
        # It ends with its stdin, and its own end is that of its output.
        stream.end_input()
        while stream.read(64, _READY_SECONDS):
            pass
    finally:
        stream.close()
