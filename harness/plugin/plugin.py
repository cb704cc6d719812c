"""The hooks: options, which example meets which claim, the lab of this process, exit codes.

Whoever has the plugin installed and asks for none of its fixtures or claims notices nothing of it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.assembly import default_topology, ready_lab
from harness.claims.catalogue import CLAIMS, SURVIVES, Claim
from harness.errors import EXIT_LAB, EXIT_USAGE, NoTailCarError, UsageError
from harness.faults.catalogue import FAULTS, chosen
from harness.faults.fault import Fault
from harness.job import example as examples_of
from harness.job.example import Example
from harness.lab import topology_file
from harness.lab.topology import ControlProgram
from harness.plugin.executions import Judged, check_promises
from harness.plugin.labs import Labs
from harness.plugin.reporting import RECORDING, RUN_OF_CONTROLLER, open_recording, run_id
from harness.plugin.workers import OFFERED, REFUSED, Controller, is_worker, tell_controller
from harness.probes.stage import Stage
from harness.probes.under_fault import Pace
from harness.run.interrupts import Interrupts

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

CLAIMS_BY_ID = {claim.id: claim for claim in CLAIMS}
_EXAMPLES = pytest.StashKey[list[Example]]()
_CONTROLLER = "notailcar-controller"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two options, both with defaults that suit this repository."""
    group = parser.getgroup("notailcar", "NoTailCar: scenarios over Nomad jobs")
    group.addoption(
        "--examples",
        metavar="PATH",
        default="examples",
        help="the folder of jobs: each subfolder a *.nomad.hcl with its smoke.toml (default: examples)",
    )
    group.addoption(
        "--topology",
        metavar="FILE",
        default=str(default_topology()),
        help="the lab as data (default: the one that ships with NoTailCar)",
    )
    group.addoption(
        "--faults",
        metavar="NAMES",
        default="",
        help="what shall befall the examples, comma separated, or `all` (default: nothing); "
        f"there are {', '.join(FAULTS)}",
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


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known; nothing is looked at yet."""
    config.addinivalue_line(
        "markers", "claim(id): this scenario shows the verdict of one claim for each example"
    )


def _examples(config: pytest.Config) -> list[Example]:
    """The examples asked for, read once and held against the topology."""
    if _EXAMPLES not in config.stash:
        found = examples_of.find(Path(config.getoption("--examples")).absolute())
        check_promises(found, topology_file.load(Path(config.getoption("--topology"))))
        config.stash[_EXAMPLES] = found
        config.stash[OFFERED] = [example.name for example in found]
    return config.stash[_EXAMPLES]


def _claim_of(marker: pytest.Mark) -> Claim:
    named = str(marker.args[0]) if marker.args else ""
    if named not in CLAIMS_BY_ID:
        raise UsageError(f"there is no claim {named!r}", remedy=f"the claims are {', '.join(CLAIMS_BY_ID)}")
    return CLAIMS_BY_ID[named]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a claim's scenario one test for each example that the claim is made of."""
    marker = metafunc.definition.get_closest_marker("claim")
    if marker is None:
        return
    # `judged` asks for it by way of another fixture.
    if "example" not in metafunc.fixturenames:
        metafunc.fixturenames.append("example")
    try:
        examples = _examples(metafunc.config)
        named = str(marker.args[0] if marker.args else "")
        if named.endswith(SURVIVES):
            _befall(metafunc, [e for e in examples if e.smoke.kind == named.removesuffix(SURVIVES)])
            return
        claim = _claim_of(marker)
        apt = [e for e in examples if not claim.absence(e.smoke)]
    except NoTailCarError as error:
        # The person's input, not a scenario, is at fault: nothing is run, and the end of the output says why.
        metafunc.config.stash[REFUSED] = error
        apt = []
    parameters = [pytest.param(e, id=e.name) for e in apt]
    metafunc.parametrize("example", parameters, scope="session")


def _befall(metafunc: pytest.Metafunc, examples: list[Example]) -> None:
    """Give the scenario of faults one test for each chosen fault and each example that it can befall."""
    parameters = [
        pytest.param(e, fault, id=f"{fault.name}:{e.name}")
        for e in examples
        for fault in chosen(metafunc.config.getoption("--faults"))
        if e.smoke.kind in fault.kinds
    ]
    metafunc.fixturenames.append("fault")
    metafunc.parametrize(("example", "fault"), parameters, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run nothing when the input was refused, and no claim of which no example is made."""
    items[:] = [
        item
        for item in items
        if REFUSED not in config.stash
        and not (item.get_closest_marker("claim") and item.get_closest_marker("skip"))
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Open the reports when there is a claim to be judged.

    A worker of xdist does so before it tells its controller that it has collected.
    """
    config = session.config
    claimed = any(item.get_closest_marker("claim") for item in session.items)
    if claimed and not config.option.collectonly:
        open_recording(config, began=time.time())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: "WorkerController") -> None:
    """xdist: a worker takes part in its controller's run, and the controller reports what it finds."""
    node.workerinput[RUN_OF_CONTROLLER] = run_id(node.config)
    if not node.config.pluginmanager.has_plugin(_CONTROLLER):
        node.config.pluginmanager.register(Controller(node.config), _CONTROLLER)


@pytest.fixture(scope="session")
def claim_labs(request: pytest.FixtureRequest) -> Iterator[Labs]:
    """The labs of this process, and what is run in them: removed after the last claim."""
    recording = request.config.stash[RECORDING]
    file = Path(request.config.getoption("--topology"))
    lasting = bool(request.config.getoption("--faults"))
    with Interrupts() as interrupts, recording.progress, recording.ledger() as ledger:

        @contextmanager
        def stage(program: ControlProgram) -> Iterator[Stage]:
            with (
                recording.run(program) as run,
                ready_lab(file, run, recording.progress, program, lasting_agent=lasting) as ready,
            ):
                recording.ready(ready)
                yield Stage(ready.lab, run, ledger, recording.progress)

        with Labs(stage) as labs:
            try:
                yield labs
            finally:
                interrupts.hold()


@pytest.fixture(scope="session")
def example() -> Example:
    """The example of this test; `pytest_generate_tests` gives it."""
    raise pytest.UsageError("the fixture `example` is for scenarios with a `claim` marker")


@pytest.fixture(scope="session")
def fault() -> type[Fault]:
    """What befalls the example of this test; `pytest_generate_tests` gives it."""
    raise pytest.UsageError("the fixture `fault` is for scenarios of faults")


@pytest.fixture
def claim(request: pytest.FixtureRequest) -> Claim:
    """The claim of this test."""
    marker = request.node.get_closest_marker("claim")
    return CLAIMS_BY_ID[marker.args[0]]


@pytest.fixture
def judged(request: pytest.FixtureRequest, claim_labs: Labs, claim: Claim, example: Example) -> Judged:
    """The verdict of this test's claim on its example, with all that it rests on run and reported."""
    executions = claim_labs.executions(example.control_program)
    found = executions.judge(claim, example)
    request.config.stash[RECORDING].add(request.node, found, executions.stage.ledger)
    return found


@pytest.fixture
def survived(
    request: pytest.FixtureRequest, claim_labs: Labs, example: Example, fault: type[Fault]
) -> Judged:
    """The verdict on an example that a fault befell; a lab that is not healed is not used again."""
    executions = claim_labs.executions(example.control_program)
    pace = Pace(request.config.getoption("--fault-rate"), request.config.getoption("--fault-seconds"))
    try:
        found = executions.judge_under(fault, example, pace)
    except NoTailCarError:
        claim_labs.discard(example.control_program)
        raise
    request.config.stash[RECORDING].add(request.node, found, executions.stage.ledger)
    return found


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Translate pytest's exit codes to the contract's, when claims were asked for."""
    config = session.config
    if is_worker(config):
        tell_controller(config, config.stash.get(REFUSED, None), config.stash.get(OFFERED, []))
        return
    recording = config.stash.get(RECORDING, None)
    if refused := config.stash.get(REFUSED, None):
        session.exitstatus = refused.exit_code
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


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Say why nothing was run, when that is so."""
    if refused := config.stash.get(REFUSED, None):
        terminalreporter.write_sep("=", "nothing was run", red=True)
        terminalreporter.write_line(str(refused))
    elif exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and (offered := config.stash.get(OFFERED, None)):
        terminalreporter.write_sep("=", "nothing was run", red=True)
        terminalreporter.write_line(
            "No scenario was selected, so nothing is proven.\n"
            f"  -> -k takes parts of names: examples ({', '.join(offered)}) and claims "
            "(egress_address, ...); `pytest scenarios --collect-only` lists them all"
        )
