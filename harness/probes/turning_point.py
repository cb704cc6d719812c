"""Waits for the moment that decides a job: a worker has started, a guard has refused, or all is over.

Nomad's client tells its servers of a task's start or end up to a second later (nomad, client/client.go,
allocSync). That is too late for what can be seen only while a short worker runs, so the engine below
the node is listened to as well; whichever speaks first is believed.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from queue import Queue
from types import TracebackType
from typing import Any, Self

import httpcore

from harness.errors import LabError, NoTailCarError
from harness.job.rendering import Rendered
from harness.job.submission import Submission, refused, started
from harness.lab.running_host import RunningHost
from harness.management.nomad import Allocation

_ID_LENGTH = 36  # of an allocation's id, a UUID
# Told from the past on: what happened before the stream was open is not missed.
_EVENTS = """
exec curl -sN --max-time "$0" --unix-socket /var/run/docker.sock --get http://engine/events \
    --data "since=$(($(date +%s) - $0))" --data-urlencode \
    'filters={"type":["container"],"event":["start","die"]}'
"""


def turns(
    node: RunningHost | None,
    submission: Submission,
    rendered: Rendered,
    pool: ThreadPoolExecutor,
    *,
    count: int,
    seconds: float,
) -> Iterator[Allocation]:
    """Give each allocation of a job once, at its turning point, as it stood in Nomad's eyes then.

    Args:
        node: the Nomad node, whose engine is listened to; None where only Nomad can be asked.
        submission: the job, registered.
        rendered: what its tasks are for.
        pool: has two threads to spare.
        count: of how many allocations; the iteration ends with the last of them.
        seconds: how long all of it may take.

    Raises:
        LabError: the time is over, with Nomad's own words.
    """
    told: Queue[str | LabError] = Queue()
    seen: set[str] = set()
    with _EngineEvents(node, seconds) if node else nullcontext() as events:
        if events:
            pool.submit(_listen, events, rendered, told)
        pool.submit(_follow, submission, rendered, told, count, seconds)
        while len(seen) < count:
            turned = told.get()
            if isinstance(turned, LabError):
                raise turned
            if turned in seen:
                continue
            # The engine tells of every job of the node, and before Nomad knows of it.
            if mine := [a for a in submission.allocations() if a.id == turned]:
                seen.add(turned)
                yield mine[0]


def _listen(events: "_EngineEvents", rendered: Rendered, told: "Queue[str | LabError]") -> None:
    # An engine that says no more, for whatever reason, leaves it to Nomad.
    with suppress(NoTailCarError, httpcore.NetworkError, httpcore.TimeoutException):
        for event in events.events():
            if turned := turned_allocation(event, rendered):
                told.put(turned)


def _follow(
    submission: Submission, rendered: Rendered, told: "Queue[str | LabError]", count: int, seconds: float
) -> None:
    runs, refuses = started(rendered.workers), refused(rendered.guards)
    seen: set[str] = set()
    try:
        for allocations in submission.snapshots(seconds):
            for allocation in allocations:
                if allocation.id not in seen and (allocation.over or runs(allocation) or refuses(allocation)):
                    seen.add(allocation.id)
                    told.put(allocation.id)
            if len(seen) >= count:
                return
    except LabError as error:
        told.put(error)


def turned_allocation(event: Mapping[str, Any], rendered: Rendered) -> str:
    """The allocation whose worker's start or guard's refusal an engine's event tells of, or nothing. Pure.

    Events are the Engine API's (SystemEvents); Nomad's Docker driver names containers task-allocation.
    """
    attributes: Mapping[str, str] = event["Actor"]["Attributes"]
    name = attributes.get("name", "")

    def of(tasks: frozenset[str]) -> str:
        found = [t for t in tasks if name.startswith(f"{t}-") and len(name) == len(t) + 1 + _ID_LENGTH]
        return name[-_ID_LENGTH:] if found else ""

    if event["Action"] == "start":
        return of(rendered.workers)
    if event["Action"] == "die" and attributes.get("exitCode") != "0":
        return of(rendered.guards)
    return ""


class _EngineEvents:
    """Owns a stream of what the engine of a node says of its containers."""

    def __init__(self, node: RunningHost, seconds: float) -> None:
        self._stream = node.open("sh", "-c", _EVENTS, str(round(seconds)))

    def events(self) -> Iterator[dict[str, Any]]:
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
