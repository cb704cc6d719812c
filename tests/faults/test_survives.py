"""The patterns that hold under faults, and the two known leaks on the one that does not.

A few faults, of each kind that once leaked; every one there is with `pytest tests/faults --faults all`.
"""

import re

import pytest

from harness.claims.befallen import Fate
from harness.faults.catalogue import chosen
from harness.faults.fault import Fault
from harness.job import example
from tests.faults.patterns import PLAIN, TIGHT, lay_out
from tests.robustness.commands import REPOSITORY, Command
from tests.robustness.proof import claims

pytestmark = pytest.mark.lab

FEW = "exit-deleted,exit-expired,tailscaled-killed,tailscaled-restarted,control-down-cold,node-rebooted"
_SECONDS = 1500
_FOUND = {e.name: e for e in example.find(REPOSITORY / "examples") if e.name in TIGHT}


def _faults(config: pytest.Config) -> tuple[type[Fault], ...]:
    return chosen(config.getoption("--faults") or FEW)


def _befallen(faults: tuple[type[Fault], ...]) -> list[tuple[str, str, str]]:
    """Each pattern, each fault that can befall it, and the pattern's kind."""
    return [
        (name, fault.name, _FOUND[name].smoke.kind)
        for name in TIGHT
        for fault in faults
        if _FOUND[name].smoke.kind in fault.kinds
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the scenario of what holds one test for each pattern and fault."""
    if "kind" in metafunc.fixturenames:
        befallen = _befallen(_faults(metafunc.config))
        ids = [f"{fault}:{name}" for name, fault, _ in befallen]
        metafunc.parametrize(("name", "fault", "kind"), befallen, ids=ids)


def scenario(name: str, fault: str, kind: str) -> str:
    return f"scenarios/test_faults.py::test_{kind}_survives[{fault}:{name}]"


@pytest.fixture(scope="module")
def judged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """One run over all of them."""
    root = tmp_path_factory.mktemp("faults")
    examples = lay_out(root)
    scenarios = [scenario(*each) for each in _befallen(_faults(request.config))]
    scenarios += [scenario(PLAIN.name, claim.rpartition(".")[2], "egress") for claim in PLAIN.refutes]
    options = ("--faults", "all", "--examples", str(examples), "-p", "no:cacheprovider", "-n", "3")
    with Command(root / "run", ["pytest", *scenarios, *options]) as run:
        run.wait(_SECONDS)
        return run


def test_nothing_leaks(judged: Command, name: str, fault: str, kind: str) -> None:
    found = claims(judged).get((name, f"{kind}.survives.{fault}"))
    assert found, judged.output[-4000:]
    assert found["verdict"] == "proven", found["reason"]
    assert found["reason"].startswith((Fate.HELD, Fate.STOPPED))


@pytest.mark.parametrize("claim", PLAIN.refutes)
def test_the_plain_pattern_leaks(judged: Command, claim: str) -> None:
    found = claims(judged)[PLAIN.name, claim]
    assert found["verdict"] == "refuted", found["reason"]
    assert found["reason"].startswith(Fate.LEAKED)
    # A leak of a few requests may be of one family alone: which, chance decides.
    assert re.search(r"\bnode \((203\.0\.113\.10|2001:db8:113::10)\)", found["reason"]), found["reason"]
