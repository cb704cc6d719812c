"""Hooks of a run of scenarios: they leave an Allure report, and share labs well, without being asked to."""

from typing import TYPE_CHECKING

import pytest

from harness.errors import EXIT_USAGE
from harness.plugin.keys import results_of

if TYPE_CHECKING:
    from xdist.remote import Producer

    from harness.plugin.scheduling import ByExample


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
