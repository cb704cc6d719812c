"""Which of the requests that a public observer sees are whose. Pure."""

from collections.abc import Collection, Iterable

from harness.lab.echo_book import EchoLine
from harness.ledger.facts import RequestSeen
from harness.live.rights import JOBS

WITNESS = f"{JOBS}witness-"
"""Begins the token of what a witness asks, whichever run's it is."""
_SHORT_ID = 8


def of_witness(lines: Iterable[EchoLine], token: str) -> list[RequestSeen]:
    """The requests that carry the token of a witness of ours."""
    return [line.request for line in lines if line.request.token == token]


def of_job(
    lines: Iterable[EchoLine], allocations: Collection[str], node: Collection[str]
) -> list[RequestSeen]:
    """The requests of a job: those that name one of its allocations, and all that its client sent.

    Args:
        lines: what the observer saw while the job ran, whoever it was.
        allocations: the ids of its allocations, by which workers name themselves.
        node: the addresses that the clients were seen by, where they ran. Who comes from there and names
            nobody counts: a worker that leaks may do so without a name.
    """
    shorts = tuple(a[:_SHORT_ID] for a in allocations)
    return [
        r
        for r in (line.request for line in lines)
        if _names(r, shorts) or (r.peer in node and not r.token.startswith(WITNESS))
    ]


def _names(request: RequestSeen, shorts: tuple[str, ...]) -> bool:
    words = f"{request.token} {request.agent} {request.target}"
    return any(short in words for short in shorts)
