"""The hooks: options, the fixtures' names, exit codes; what takes long to import is imported when asked for.

Whoever has the plugin installed and asks for none of its fixtures or claims notices nothing of it.
"""

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from harness.errors import EXIT_LAB, EXIT_REFUTED, EXIT_USAGE
from harness.faults.names import NAMES
from harness.faults.pace import Pace
from harness.plugin import scenario_run
from harness.plugin.keys import (
    OFFERED,
    OUTSIDE,
    RECORDING,
    REFUSED,
    RUN_OF_CONTROLLER,
    VERSIONS,
    is_worker,
    run_id,
    without_promises,
)
from harness.plugin.workers import Controller, tell_controller
from harness.run import places

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

    from harness.claims.catalogue import Claim
    from harness.faults.fault import Fault
    from harness.job.example import Example
    from harness.plugin.executions import Judged
    from harness.plugin.judges import Judge
    from harness.plugin.labs import Labs

pytest_plugins = ["harness.plugin.site"]
_CONTROLLER = "notailcar-controller"
_PLACES = frozenset({"claim_labs", "claim_site"})
"""The fixtures of which one is below whatever runs a job."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options, all with defaults that suit this repository."""
    group = parser.getgroup("notailcar", "NoTailCar: scenarios over Nomad jobs")
    group.addoption(
        "--examples",
        metavar="PATH",
        default=None,
        help="the folder of jobs: each subfolder a *.nomad.hcl with its smoke.toml (default: examples). "
        "Without a path to collect from, the scenarios that ship with NoTailCar are run over it",
    )
    group.addoption(
        "--topology",
        metavar="FILE",
        default=None,
        help="the lab as data (default: the one that ships with NoTailCar)",
    )
    group.addoption(
        "--site",
        choices=("lab", "live"),
        default="lab",
        help="where to run: in a lab of its own, or on the cluster and the tailnet that the settings of "
        "env.template name; there, what only an outside observer sees is unproven (default: lab)",
    )
    group.addoption(
        "--versions",
        metavar="NAME=VERSION,...",
        default=os.environ.get(VERSIONS, ""),
        help="run further pinned versions of nomad, tailscale or headscale in the place of the defaults, "
        f"such as nomad=1.10.5 (default: {VERSIONS}, or the defaults of versions.toml)",
    )
    group.addoption(
        "--faults",
        metavar="NAMES",
        default="",
        help="what shall befall the examples, comma separated, or `all` (default: nothing); "
        f"there are {', '.join(NAMES)}",
    )
    group.addoption(
        "--fault-rate",
        metavar="N",
        type=int,
        default=Pace.rate,
        help=f"requests a second from where a worker runs while something befalls it (default: {Pace.rate})",
    )
    group.addoption(
        "--fault-seconds",
        metavar="SECONDS",
        type=float,
        default=Pace.seconds,
        help=f"how long what befalls an example lasts, once it shows (default: {Pace.seconds:g})",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known. With --examples and no path, the scenarios that ship with NoTailCar are run."""
    config.addinivalue_line(
        "markers", "claim(id): this scenario shows the verdict of one claim for each example"
    )
    config.addinivalue_line(
        "markers", "outside(why): the versions that were chosen have no part in this test"
    )
    if config.getoption("--examples") and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = [str(places.data("scenarios"))]
        config.args_source = pytest.Config.ArgsSource.ARGS
        # Before Allure's own plugin looks for its folder; the folder's conftest.py would come too late.
        config.pluginmanager.register(scenario_run, "notailcar-scenarios")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a claim's scenario one test for each example that the claim is made of."""
    if marker := metafunc.definition.get_closest_marker("claim"):
        from harness.plugin import session

        session.generate_tests(metafunc, marker)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run nothing when the input was refused, and no claim of which no example is made.

    Last, so that what -k did not choose is gone: what is told to be left out was asked for.
    """
    left_out = [item for item in items if item.get_closest_marker("outside")]
    for item in left_out:
        marker = item.get_closest_marker("outside")
        name = item.callspec.params["example"].name  # type: ignore[attr-defined] # a Function's, of a parameter
        config.stash.setdefault(OUTSIDE, {})[name] = str(marker.args[0]) if marker else ""
    items[:] = [item for item in items if item not in left_out]
    items[:] = [
        item
        for item in items
        if REFUSED not in config.stash
        and not (item.get_closest_marker("claim") and item.get_closest_marker("skip"))
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Open the reports when there is a claim to be judged, or a lab to be brought up.

    A worker of xdist does so before it tells its controller that it has collected.
    """
    config = session.config
    if config.option.collectonly:
        return
    if config.stash.get(OUTSIDE, None) or any(
        _PLACES.intersection(getattr(item, "fixturenames", ())) for item in session.items
    ):
        from harness.plugin.reporting import open_recording

        open_recording(config, began=time.time()).ask(session.items)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: "WorkerController") -> None:
    """xdist: a worker takes part in its controller's run, and the controller reports what it finds."""
    node.workerinput[RUN_OF_CONTROLLER] = run_id(node.config)
    if not node.config.pluginmanager.has_plugin(_CONTROLLER):
        node.config.pluginmanager.register(Controller(node.config), _CONTROLLER)


@pytest.fixture(scope="session")
def claim_site(request: pytest.FixtureRequest) -> Iterator["Judge"]:
    """What judges the examples of this process: its labs, or the live site."""
    from harness.plugin import session

    with session.judge_of(request) as made:
        yield made


@pytest.fixture(scope="session")
def claim_labs(request: pytest.FixtureRequest) -> Iterator["Labs"]:
    """The labs of this process, and what is run in them: removed after the last claim."""
    from harness.plugin import session

    with session.labs_of(request) as labs:
        yield labs


@pytest.fixture(scope="session")
def example() -> "Example":
    """The example of this test; `pytest_generate_tests` gives it."""
    raise pytest.UsageError("the fixture `example` is for scenarios with a `claim` marker")


@pytest.fixture(scope="session")
def fault() -> "type[Fault]":
    """What befalls the example of this test; `pytest_generate_tests` gives it."""
    raise pytest.UsageError("the fixture `fault` is for scenarios of faults")


@pytest.fixture
def claim(request: pytest.FixtureRequest) -> "Claim":
    """The claim of this test."""
    from harness.plugin import session

    marker = request.node.get_closest_marker("claim")
    return session.CLAIMS_BY_ID[marker.args[0]]


@pytest.fixture
def judged(
    request: pytest.FixtureRequest, claim_site: "Judge", claim: "Claim", example: "Example"
) -> "Judged":
    """The verdict of this test's claim on its example, with all that it rests on run and reported."""
    from harness.plugin import session

    return session.judge(request, claim_site, claim, example)


@pytest.fixture
def survived(
    request: pytest.FixtureRequest, claim_labs: "Labs", example: "Example", fault: "type[Fault]"
) -> "Judged":
    """The verdict on an example that a fault befell; a lab that is not healed is not used again."""
    from harness.plugin import session

    return session.judge_under(request, claim_labs, example, fault)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Translate pytest's exit codes to the contract's, when claims were asked for."""
    config = session.config
    if is_worker(config):
        tell_controller(
            config,
            config.stash.get(REFUSED, None),
            config.stash.get(OFFERED, []),
            config.stash.get(OUTSIDE, {}),
        )
        return
    recording = config.stash.get(RECORDING, None)
    if refused := config.stash.get(REFUSED, None):
        session.exitstatus = refused.exit_code
        return
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and config.stash.get(OUTSIDE, None):
        session.exitstatus = EXIT_USAGE
        return
    if recording is None:
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and config.stash.get(OFFERED, None):
            session.exitstatus = EXIT_USAGE
        return
    if (
        exitstatus == pytest.ExitCode.TESTS_FAILED
        and recording.worst_error is not None
        and not recording.refuted
    ):
        session.exitstatus = recording.worst_error
    elif exitstatus == pytest.ExitCode.INTERNAL_ERROR:
        session.exitstatus = EXIT_LAB
    elif exitstatus == pytest.ExitCode.OK and recording.beyond_sight:
        # Skipped by pytest, which takes that for no failure; unproven by the contract.
        session.exitstatus = EXIT_REFUTED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Say why nothing was run, when that is so; and of which jobs nothing is promised."""
    if OFFERED in config.stash and config.getoption("--examples") and (bare := without_promises(config)):
        names = ", ".join(str(job) for job in bare)
        terminalreporter.write_line(f"nothing is promised, and nothing proven, of {names}", yellow=True)
        terminalreporter.write_line(f"  -> notailcar test --write {bare[0]}")
    if refused := config.stash.get(REFUSED, None):
        terminalreporter.write_sep("=", "nothing was run", red=True)
        terminalreporter.write_line(str(refused))
    elif left_out := config.stash.get(OUTSIDE, None):
        terminalreporter.write_sep("=", "not run with these versions", yellow=True)
        for name, why in sorted(left_out.items()):
            terminalreporter.write_line(f"{name}: {why}")
    elif exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and (offered := config.stash.get(OFFERED, None)):
        terminalreporter.write_sep("=", "nothing was run", red=True)
        terminalreporter.write_line(
            "No scenario was selected, so nothing is proven.\n"
            f"  -> -k takes parts of names: examples ({', '.join(offered)}) and claims "
            "(egress_address, ...); `pytest scenarios --collect-only` lists them all"
        )
