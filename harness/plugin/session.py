"""What a session with claims does: which example meets which claim, and the labs of this process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from harness.assembly import ready_lab
from harness.claims.catalogue import CLAIMS, SURVIVES, Claim
from harness.errors import LabError, NoTailCarError, UsageError
from harness.faults.catalogue import chosen
from harness.faults.fault import Fault
from harness.faults.pace import Pace
from harness.job import example as examples_of
from harness.job.example import Example
from harness.lab import topology_file
from harness.lab.topology import ControlProgram
from harness.plugin.executions import Judged, check_promises
from harness.plugin.judges import Judge
from harness.plugin.keys import (
    EXAMPLES,
    OFFERED,
    PINS,
    RECORDING,
    REFUSED,
    examples_path,
    is_live,
    topology_path,
)
from harness.plugin.labs import Labs
from harness.probes.stage import Stage
from harness.run.interrupts import Interrupts
from harness.supply.pins import Pins, load_pins, read_versions

SITE = "site"
"""The fixture that scenarios of one's own rest on."""
CLAIMS_BY_ID = {claim.id: claim for claim in CLAIMS}


def examples(config: pytest.Config) -> list[Example]:
    """The examples asked for, read once and held against the topology. Raises UsageError."""
    if first := config.stash.get(REFUSED, None):
        # Once is enough, as it may have taken servers to find out.
        raise first.with_traceback(None)
    if EXAMPLES not in config.stash:
        config.stash[EXAMPLES] = examples_of.find(examples_path(config))
    if OFFERED not in config.stash:
        found = config.stash[EXAMPLES]
        pins_of(config)
        if is_live(config):
            _check_live(config, found)
        else:
            check_promises(found, topology_file.load(topology_path(config)))
        config.stash[OFFERED] = [example.name for example in found]
    return config.stash[EXAMPLES]


def _check_live(config: pytest.Config, found: Sequence[Example]) -> None:
    """Refuse what cannot be run on a live site, before anything starts. Raises UsageError."""
    from harness.live.site import check_all  # noqa: PLC0415 - only where there is a live site

    if config.getoption("--faults"):
        raise UsageError("--faults: nothing befalls a live site", remedy="leave it out, or --site live")
    if not config.option.collectonly:
        check_all(found)


def pins_of(config: pytest.Config) -> Pins:
    """What runs, as it was asked for. Raises UsageError for a version that is not pinned."""
    if PINS not in config.stash:
        config.stash[PINS] = load_pins(read_versions(config.getoption("--versions"), "--versions"))
    return config.stash[PINS]


def outside(example: Example, pins: Pins) -> str:
    """Why an example would show nothing of the versions that were chosen; empty where it shows something."""
    if example.control_program is ControlProgram.LABCONTROL and not pins.is_default("headscale"):
        version = pins.go["headscale"].version
        return f"its control server is labcontrol, so that headscale {version} has no part in it"
    return ""


def _marks(config: pytest.Config, found: Sequence[Example]) -> dict[str, tuple[pytest.MarkDecorator, ...]]:
    """Marks for the examples that have no part in what was chosen, by their names."""
    pins = pins_of(config) if found else None
    return {
        example.name: (pytest.mark.outside(why),)
        for example in found
        if pins and (why := outside(example, pins))
    }


def _claim_of(marker: pytest.Mark) -> Claim:
    named = str(marker.args[0]) if marker.args else ""
    if named not in CLAIMS_BY_ID:
        raise UsageError(f"there is no claim {named!r}", remedy=f"the claims are {', '.join(CLAIMS_BY_ID)}")
    return CLAIMS_BY_ID[named]


def generate_tests(metafunc: pytest.Metafunc, marker: pytest.Mark) -> None:
    """Give a claim's scenario one test for each example that the claim is made of."""
    # `judged` asks for it by way of another fixture.
    if "example" not in metafunc.fixturenames:
        metafunc.fixturenames.append("example")
    try:
        found = examples(metafunc.config)
        named = str(marker.args[0] if marker.args else "")
        if named.endswith(SURVIVES):
            _befall(metafunc, [e for e in found if e.smoke.kind == named.removesuffix(SURVIVES)])
            return
        claim = _claim_of(marker)
        apt = [e for e in found if not claim.absence(e.smoke)]
    except NoTailCarError as error:
        # The person's input, not a scenario, is at fault: nothing is run, and the end of the output says why.
        metafunc.config.stash[REFUSED] = error
        apt = []
    marks = _marks(metafunc.config, apt)
    parameters = [pytest.param(e, id=e.name, marks=marks.get(e.name, ())) for e in apt]
    metafunc.parametrize("example", parameters, scope="session")


def _befall(metafunc: pytest.Metafunc, found: Sequence[Example]) -> None:
    """Give the scenario of faults one test for each chosen fault and each example that it can befall."""
    marks = _marks(metafunc.config, found)
    parameters = [
        pytest.param(e, fault, id=f"{fault.name}:{e.name}", marks=marks.get(e.name, ()))
        for e in found
        for fault in chosen(metafunc.config.getoption("--faults"))
        if e.smoke.kind in fault.kinds
    ]
    metafunc.fixturenames.append("fault")
    metafunc.parametrize(("example", "fault"), parameters, scope="session")


def selected(session: pytest.Session, program: ControlProgram) -> tuple[Example, ...]:
    """The examples that a lab with a control program is brought up for. Raises UsageError."""
    parameters = [getattr(item, "callspec", None) for item in session.items]
    found = [spec.params["example"] for spec in parameters if spec and "example" in spec.params]
    config = session.config
    if config.getoption("--examples") and any(SITE in getattr(i, "fixturenames", ()) for i in session.items):
        # What scenarios of one's own let run is not known before; that it may be any of these is.
        found += examples_of.find(examples_path(config))
    by_name = {e.name: e for e in found if isinstance(e, Example) and e.control_program is program}
    return tuple(by_name.values())


@contextmanager
def labs_of(request: pytest.FixtureRequest) -> Iterator[Labs]:
    """The labs of this process, and what is run in them: removed at the end."""
    recording = request.config.stash[RECORDING]
    file = topology_path(request.config)
    lasting = bool(request.config.getoption("--faults"))
    with Interrupts() as interrupts, recording.progress, recording.ledger() as ledger:

        @contextmanager
        def stage(program: ControlProgram) -> Iterator[Stage]:
            examples = selected(request.session, program)
            with (
                recording.run(program) as run,
                ready_lab(
                    file,
                    run,
                    recording.progress,
                    program,
                    lasting_agent=lasting,
                    examples=examples,
                    pins=pins_of(request.config),
                ) as ready,
            ):
                recording.ready(ready)
                yield Stage(ready.lab, run, ledger, recording.progress, ready.nomad, ready.images, ready.jobs)

        with Labs(stage) as labs:
            try:
                yield labs
            finally:
                interrupts.hold()


@contextmanager
def judge_of(request: pytest.FixtureRequest) -> Iterator[Judge]:
    """What judges the examples of this process: its labs, or the live site. Raises UsageError, LabError."""
    if not is_live(request.config):
        yield request.getfixturevalue("claim_labs")
        return
    from harness.plugin.live_judge import live_judge  # noqa: PLC0415 - only where there is a live site

    recording = request.config.stash[RECORDING]
    with (
        Interrupts() as interrupts,
        recording.progress,
        recording.ledger() as ledger,
        live_judge(recording, ledger) as made,
    ):
        try:
            yield made
        finally:
            interrupts.hold()


def judge(request: pytest.FixtureRequest, site: Judge, claim: Claim, example: Example) -> Judged:
    """The verdict of a test's claim on its example, with all that it rests on run and reported."""
    found = site.judge(claim, example)
    request.config.stash[RECORDING].add(request.node, found)
    return found


def judge_under(request: pytest.FixtureRequest, labs: Labs, example: Example, fault: type[Fault]) -> Judged:
    """The verdict on an example that a fault befell; a lab that is not healed is not used again."""
    executions = labs.executions(example.control_program)
    pace = Pace(request.config.getoption("--fault-rate"), request.config.getoption("--fault-seconds"))
    recording = request.config.stash[RECORDING]
    try:
        found = executions.judge_under(fault, example, pace)
    except NoTailCarError:
        try:
            labs.discard(example.control_program)
        except LabError as left:
            # What failed first is the reason that is reported.
            recording.progress.note(str(left))
        raise
    recording.add(request.node, found)
    return found
