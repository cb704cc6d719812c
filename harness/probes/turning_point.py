"""Waits for the moment that decides a job: a worker has started, a guard has refused, or all is over.

Nomad's client tells its servers of a task's start or end up to a second later (nomad, client/client.go,
allocSync). That is too late for what can be seen only while a short worker runs, so the engine below
the node is listened to as well; whichever speaks first is believed.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as first_of
from types import TracebackType
from typing import Any, Self

from harness.job.rendering import Rendered
from harness.job.submission import Submission, refused, started
from harness.lab.running_host import RunningHost
from harness.management.nomad import Allocation

# Told from the past on: what happened before the stream was open is not missed.
_EVENTS = """
exec curl -sN --max-time "$0" --unix-socket /var/run/docker.sock --get http://engine/events \
    --data "since=$(($(date +%s) - $0))" --data-urlencode \
    'filters={"type":["container"],"event":["start","die"]}'
"""


def wait(
    node: RunningHost, submission: Submission, rendered: Rendered, pool: ThreadPoolExecutor, *, seconds: int
) -> Allocation:
    """Wait for the job's turning point and give the allocation as it was placed; its id is what counts.

    Args:
        node: the Nomad node, whose engine is listened to.
        submission: the job, registered.
        rendered: what its tasks are for.
        pool: has two threads to spare.
        seconds: how long it may take.

    Raises:
        LabError: the time is over, with Nomad's own words.
    """
    placed = submission.wait(lambda _: True, seconds)
    runs, refuses = started(rendered.workers), refused(rendered.guards)
    with _EngineEvents(node, seconds) as events:
        told = pool.submit(submission.wait, lambda a: a.over or runs(a) or refuses(a), seconds)
        heard = pool.submit(events.turn, placed.id, rendered)
        either: tuple[Future[Any], ...] = (told, heard)
        first_of(either, return_when=FIRST_COMPLETED)
        # An engine that says no more, for whatever reason, leaves it to Nomad.
        if heard.done() and heard.exception() is None and heard.result():
            return placed
        return told.result()


def is_turn(event: Mapping[str, Any], allocation: str, rendered: Rendered) -> bool:
    """Whether an engine's event (Engine API, SystemEvents) is a worker's start or a guard's refusal. Pure."""
    attributes: Mapping[str, str] = event["Actor"]["Attributes"]

    def of(tasks: frozenset[str]) -> bool:
        # Nomad's Docker driver names containers so.
        return attributes.get("name") in {f"{task}-{allocation}" for task in tasks}

    if event["Action"] == "start":
        return of(rendered.workers)
    return event["Action"] == "die" and of(rendered.guards) and attributes.get("exitCode") != "0"


class _EngineEvents:
    """Owns a stream of what the engine of a node says of its containers."""

    def __init__(self, node: RunningHost, seconds: int) -> None:
        self._stream = node.open("sh", "-c", _EVENTS, str(seconds))

    def turn(self, allocation: str, rendered: Rendered) -> bool:
        """Wait until a worker started or a guard ended with another code than 0; False: the stream ended."""
        return any(is_turn(event, allocation, rendered) for event in self._events())

    def _events(self) -> Iterator[dict[str, Any]]:
        unread = b""
        while piece := self._stream.read(65536):
            *lines, unread = (unread + piece).split(b"\n")
            yield from map(json.loads, filter(None, lines))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
