"""Every fault on the patterns that hold, and the two known leaks on the one that does not."""

import pytest

from harness.claims.befallen import Fate
from harness.faults.catalogue import FAULTS
from harness.job import example
from tests.faults.test_plain import PLAIN
from tests.robustness.commands import REPOSITORY, Command
from tests.robustness.copies import copy
from tests.robustness.proof import claims

pytestmark = pytest.mark.lab

TIGHT = ("egress-worker", "sealed-egress-worker", "private-http-service", "sealed-private-service")
_SECONDS = 1500
_FOUND = {e.name: e for e in example.find(REPOSITORY / "examples") if e.name in TIGHT}
BEFALLEN = [
    (name, fault.name, _FOUND[name].smoke.kind)
    for name in TIGHT
    for fault in FAULTS.values()
    if _FOUND[name].smoke.kind in fault.kinds
]


def scenario(name: str, fault: str, kind: str) -> str:
    return f"scenarios/test_faults.py::test_{kind}_survives[{fault}:{name}]"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """One run over all of them."""
    root = tmp_path_factory.mktemp("faults")
    for name in TIGHT:
        copy(root, name, of=REPOSITORY / "examples" / name)
    copy(root, PLAIN.name, *PLAIN.edit, of=REPOSITORY / "examples" / PLAIN.of)
    scenarios = [scenario(*befallen) for befallen in BEFALLEN]
    scenarios += [scenario(PLAIN.name, claim.rpartition(".")[2], "egress") for claim in PLAIN.refutes]
    options = ("--faults", "all", "--examples", str(root / "examples"), "-p", "no:cacheprovider", "-n", "2")
    with Command(root / "run", ["pytest", *scenarios, *options]) as run:
        run.wait(_SECONDS)
        return run


@pytest.mark.parametrize(
    ("name", "fault", "kind"), BEFALLEN, ids=[f"{fault}:{name}" for name, fault, _ in BEFALLEN]
)
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
    assert "node (203.0.113.10)" in found["reason"]
