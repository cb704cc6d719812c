"""Commands in folders of the test's own, over the cache that everybody uses: its images are built there."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.engine import Engine, find_engine
from harness.run.run import Run
from tests.robustness.commands import SCENARIOS, Command

Start = Callable[..., Command]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Where labs are, also after the engine has ended and come again. Nothing here holds it."""
    with Run() as run, find_engine(run, lambda _: None) as found:
        return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a command; what still runs at the test's end is ended."""
    with ExitStack() as stack:
        count = 0

        def begin(*argv: str, on_terminal: bool = False) -> Command:
            nonlocal count
            count += 1
            return stack.enter_context(Command(tmp_path / f"{count}", argv, on_terminal=on_terminal))

        yield begin


@pytest.fixture
def scenarios(start: Start) -> Start:
    """Start `pytest scenarios` with more arguments."""
    return lambda *more, on_terminal=False: start(*SCENARIOS, *more, on_terminal=on_terminal)
