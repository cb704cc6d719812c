"""The internet of a site, as a scenario sees it: who is seen there, and what leaves the Nomad node."""

from dataclasses import dataclass
from typing import Protocol

from harness.ledger.facts import FlowSeen, RequestSeen


@dataclass(frozen=True)
class Mark:
    """A moment: how far the observers had come. What a site keeps in it is its own business."""

    kept: object


class Internet(Protocol):
    """A service that writes down who asked it, and, where there is a router, the flows that pass it."""

    @property
    def url(self) -> str:
        """The URL of the service; it answers with the caller's address as plain text."""

    def mark(self) -> Mark:
        """This moment, from which on something is asked for. Raises LabError when an observer is dead."""

    def requests(self, since: Mark) -> tuple[RequestSeen, ...]:
        """Every request that the service saw after a moment. Raises LabError when it is dead."""

    def flows(self, since: Mark) -> tuple[FlowSeen, ...] | None:
        """What the Nomad node sent after a moment, flow by flow; None where nobody is there to see it.

        None says nothing of what was sent: a scenario that rests on flows skips there.
        """
