"""The observers over one stretch of time: what router, DNS and echo service saw between two marks."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.lab.echo_book import EchoLine
from harness.lab.flowbook import FlowBook
from harness.lab.lab import Lab
from harness.ledger.facts import FlowBookClosed, FlowSeen, NameAsked


@dataclass(frozen=True)
class Mark:
    """How far each observer had come at a moment."""

    flows: FlowBook
    queries: int
    requests: int


@dataclass(frozen=True)
class Seen:
    """What came between two marks."""

    flows: tuple[FlowSeen, ...]
    book: FlowBookClosed
    names: tuple[NameAsked, ...]
    requests: tuple[EchoLine, ...]


def mark(lab: Lab, pool: ThreadPoolExecutor) -> Mark:
    """Read every observer once, side by side. Raises LabError when one is dead."""
    flows = pool.submit(lab.router.flows)
    queries = pool.submit(lab.router.queries_mark)
    requests = pool.submit(lab.echo.seen)
    return Mark(flows.result(), queries.result(), len(requests.result()))


def since(lab: Lab, earlier: Mark, pool: ThreadPoolExecutor) -> tuple[Seen, Mark]:
    """What came after a mark, and the mark of now. Raises LabError when an observer is dead."""
    flows = pool.submit(lab.router.flows)
    names = pool.submit(lab.router.queries, earlier.queries)
    requests = pool.submit(lab.echo.seen)
    rows, book = flows.result().since(earlier.flows)
    asked, end = names.result()
    lines = requests.result()
    seen = Seen(tuple(rows), book, tuple(asked), tuple(lines[earlier.requests :]))
    return seen, Mark(flows.result(), end, len(lines))
