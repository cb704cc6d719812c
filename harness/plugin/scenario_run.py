"""Hooks of a run of scenarios: they leave an Allure report, and share labs well, without being asked to."""

import os
from typing import TYPE_CHECKING

import pytest

from harness.errors import EXIT_USAGE
from harness.plugin.keys import results_of

if TYPE_CHECKING:
    from xdist.remote import Producer

    from harness.plugin.scheduling import ByExample

_MOST_WORKERS = 8
"""More would share out fifteen examples no better, and each brings up a lab."""


def pytest_configure(config: pytest.Config) -> None:
    """Give Allure its folder, before its own plugin looks for it."""
    if not config.option.collectonly and config.option.allure_report_dir is None:
        results = results_of(config)
        try:
            results.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            pytest.exit(
                f"{results}: reports cannot be written there: {error.strerror}\n"
                "  -> set NOTAILCAR_REPORTS to another folder",
                returncode=EXIT_USAGE,
            )
        config.option.allure_report_dir = str(results)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "ByExample | None":
    """With `-n`, which alone means load: keep the claims of an example together."""
    from harness.plugin.scheduling import ByExample  # noqa: PLC0415 - only where xdist is there

    return ByExample(config, log) if config.getoption("dist") == "load" else None


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers() -> int:
    """With `-n auto`: one more than this process has cores, as each waits for a seventh of its time."""
    return min(len(os.sched_getaffinity(0)) + 1, _MOST_WORKERS)
