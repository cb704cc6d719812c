"""Under pytest-xdist: what workers tell the controller, which speaks to the person and collects nothing."""

import time
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import EXIT_USAGE, LabError, NoTailCarError, UsageError
from harness.plugin.keys import OFFERED, OUTSIDE, RECORDING, REFUSED, has_begun, is_ours

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

    from harness.plugin.reporting import Recording

_REFUSED = "notailcar.refused"
_OFFERED = "notailcar.offered"
_OUTSIDE = "notailcar.outside"


def tell_controller(
    config: pytest.Config, refused: NoTailCarError | None, offered: list[str], outside: dict[str, str]
) -> None:
    """In a worker, before its session ends: hand over what the controller cannot know by itself."""
    output: dict[str, Any] = config.workeroutput  # type: ignore[attr-defined] # xdist puts it there
    output[_OFFERED] = offered
    output[_OUTSIDE] = outside
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
            _open_recording(self._config, self._began).pytest_runtest_logreport(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        """Show what the workers do, once one of them has something to run that the reports are for."""
        if has_begun(self._config):
            if RECORDING not in self._config.stash:
                _open_recording(self._config, self._began)
            self._config.stash[RECORDING].follow_workers()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: "WorkerController") -> None:
        """Keep what a worker that has ended handed over; one that crashed handed over nothing."""
        output: dict[str, Any] = getattr(node, "workeroutput", {})
        if offered := output.get(_OFFERED):
            self._config.stash[OFFERED] = offered
        if outside := output.get(_OUTSIDE):
            self._config.stash[OUTSIDE] = outside
        if refused := output.get(_REFUSED):
            code, problem, remedy, log = refused
            kind = UsageError if code == EXIT_USAGE else LabError
            self._config.stash[REFUSED] = kind(problem, remedy=remedy, log=log)


def _open_recording(config: pytest.Config, began: float) -> "Recording":
    from harness.plugin.reporting import open_recording  # noqa: PLC0415 - dear, and most sessions have no claim

    return open_recording(config, began=began)
