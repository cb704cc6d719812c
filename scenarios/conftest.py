"""Scenarios leave an Allure report, and share labs well, without being asked to."""

from harness.plugin.scenario_run import (
    pytest_configure,
    pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler,
)

__all__ = ["pytest_configure", "pytest_xdist_auto_num_workers", "pytest_xdist_make_scheduler"]
