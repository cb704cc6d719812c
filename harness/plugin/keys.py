"""What the plugin's parts know a session by. Light: everybody who has the plugin installed imports it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import NoTailCarError
from harness.run import places
from harness.run.run import new_id

if TYPE_CHECKING:
    from harness.job.example import Example
    from harness.plugin.reporting import Recording
    from harness.supply.pins import Pins

RECORDING: "pytest.StashKey[Recording]" = pytest.StashKey()
"""What the session leaves for people; there from the first claim on."""
REFUSED = pytest.StashKey[NoTailCarError]()
"""Why nothing is run: what is wrong with the person's input."""
EXAMPLES: "pytest.StashKey[list[Example]]" = pytest.StashKey()
"""The examples of this session, once they are read, or where whoever began the session gives them."""
OFFERED = pytest.StashKey[list[str]]()
"""The names of the examples that scenarios were made of."""
OUTSIDE = pytest.StashKey[dict[str, str]]()
"""The examples that were asked for and show nothing of the chosen versions, each with the reason."""
PINS: "pytest.StashKey[Pins]" = pytest.StashKey()
"""The versions that run."""
VERSIONS = "NOTAILCAR_VERSIONS"
"""The setting that says which versions run, where --versions does not."""
RUN_OF_CONTROLLER = "notailcar.run"
"""In a worker's input: the id of the run that it takes part in."""
ENTRY = "notailcar.entry"
"""On a test's report: its verdict."""
ERROR = "notailcar.error"
"""On a test's report: the exit code of what went wrong with the lab or the input."""
NEWS_FILES = "stages-*.jsonl"
"""The stages of a worker, by its name."""
_RUN_ID = pytest.StashKey[str]()
_DEFAULT_EXAMPLES = "examples"


def run_id(config: pytest.Config) -> str:
    """The id of this session's run; the same in the controller and in its workers."""
    if _RUN_ID not in config.stash:
        given: Mapping[str, Any] = getattr(config, "workerinput", {})
        config.stash[_RUN_ID] = str(given.get(RUN_OF_CONTROLLER) or new_id())
    return config.stash[_RUN_ID]


def folder_of(config: pytest.Config) -> Path:
    """Where this session keeps its ledger, captures and Allure results."""
    return places.reports() / "runs" / run_id(config)


def results_of(config: pytest.Config) -> Path:
    """Where this session's Allure results go."""
    return folder_of(config) / "allure-results"


def has_begun(config: pytest.Config) -> bool:
    """Whether a worker of this session has opened its reports."""
    return any(folder_of(config).glob(NEWS_FILES))


def is_ours(report: pytest.TestReport) -> bool:
    """Whether a test's report carries a verdict, or an error of the lab or of the input."""
    return any(name in (ENTRY, ERROR) for name, _ in report.user_properties)


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of xdist."""
    return hasattr(config, "workerinput")


def examples_path(config: pytest.Config) -> Path:
    """The folder of jobs that this session is about."""
    return Path(config.getoption("--examples") or _DEFAULT_EXAMPLES).absolute()


def topology_path(config: pytest.Config) -> Path:
    """The topology file of this session."""
    return Path(config.getoption("--topology") or places.fixtures() / "topology.toml")


def is_live(config: pytest.Config) -> bool:
    """Whether this session runs on a cluster that exists, and not in labs of its own."""
    return bool(config.getoption("--site") == "live")


def without_promises(config: pytest.Config) -> list[Path]:
    """The jobs below the folder of this session that have no smoke.toml, and so were not looked at."""
    folder = examples_path(config)
    return [job for job in sorted(folder.glob("*/*.nomad.hcl")) if not (job.parent / "smoke.toml").exists()]
