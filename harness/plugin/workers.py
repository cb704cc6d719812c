"""Under pytest-xdist: what workers tell the controller, which speaks to the person and collects nothing."""

import time
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import EXIT_USAGE, LabError, NoTailCarError, UsageError
from harness.plugin.reporting import RECORDING, has_begun, is_ours, open_recording

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

REFUSED = pytest.StashKey[NoTailCarError]()
"""Why nothing is run: what is wrong with the person's input."""
OFFERED = pytest.StashKey[list[str]]()
"""The names of the examples that scenarios were made of."""
_REFUSED = "notailcar.refused"
_OFFERED = "notailcar.offered"


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of xdist."""
    return hasattr(config, "workerinput")


def tell_controller(config: pytest.Config, refused: NoTailCarError | None, offered: list[str]) -> None:
    """In a worker, before its session ends: hand over what the controller cannot know by itself."""
    output: dict[str, Any] = config.workeroutput  # type: ignore[attr-defined] # xdist puts it there
    output[_OFFERED] = offered
    if refused:
        output[_REFUSED] = [refused.exit_code, refused.problem, refused.remedy, refused.log]


class Controller:
    """A plugin for the controller: waits for the workers' words."""

    def __init__(self, config: pytest.Config) -> None:
        """Begin with the session."""
        self._config = config
        self._began = time.time()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Open the reports when the first report comes that has something to say in them."""
        if RECORDING not in self._config.stash and is_ours(report):
            # Registered too late to be told of this report by pytest itself.
            open_recording(self._config, began=self._began).pytest_runtest_logreport(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        """Show what the workers do, once one of them has something to run that the reports are for."""
        if has_begun(self._config):
            if RECORDING not in self._config.stash:
                open_recording(self._config, began=self._began)
            self._config.stash[RECORDING].follow_workers()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: "WorkerController") -> None:
        """Keep what a worker that has ended handed over; one that crashed handed over nothing."""
        output: dict[str, Any] = getattr(node, "workeroutput", {})
        if offered := output.get(_OFFERED):
            self._config.stash[OFFERED] = offered
        if refused := output.get(_REFUSED):
            code, problem, remedy, log = refused
            kind = UsageError if code == EXIT_USAGE else LabError
            self._config.stash[REFUSED] = kind(problem, remedy=remedy, log=log)
