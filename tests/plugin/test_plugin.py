"""The pytest plugin, in sessions of its own: what it runs, writes and says. No lab is booted here."""

import json
from pathlib import Path

import pytest

from harness.claims.catalogue import claims_for
from harness.errors import EXIT_LAB, EXIT_PROVEN, EXIT_REFUTED, EXIT_USAGE
from harness.job.example import read_smoke

pytest_plugins = ["pytester"]

SMOKE = 'kind = "egress"\ntags = ["tag:nomad-worker"]\n[egress]\nvia = ["exit-a"]\n'
SCENARIOS = """
import pytest

@pytest.mark.claim("egress.address")
def test_egress_address(judged):
    judged.assert_proven()

@pytest.mark.claim("identity.tagged")
def test_identity_tagged(judged):
    judged.assert_proven()
"""
# In the place of the lab: what is to be judged, as it is told here.
TOLD = """
import pytest
from types import SimpleNamespace
from harness.claims.verdict import Outcome, Verdict
from harness.errors import LabError, UsageError
from harness.plugin.executions import Judged
from harness.plugin.reporting import RECORDING

TOLD = {told!r}

class Told:
    def __init__(self, ledger):
        self.stage = SimpleNamespace(ledger=ledger)

    def executions(self, program):
        return self

    def judge(self, claim, example):
        told = TOLD.get(f"{{claim.id}} {{example.name}}", "proven")
        if told == "no lab":
            raise LabError("the lab burned down", remedy="build another", log="smoke")
        if told == "bad input":
            raise UsageError("the job does not parse")
        if told == "mistake":
            raise ZeroDivisionError
        return Judged(claim, example, Verdict(Outcome(told), "as it was told"), 0.25)

@pytest.fixture(scope="session")
def claim_labs(request):
    if "boot" in TOLD:
        raise LabError("no engine answers", remedy="start one")
    with request.config.stash[RECORDING].ledger() as ledger:
        yield Told(ledger)
"""


class Site:
    """A folder with scenarios and examples, and a session in it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        self.tell()
        pytester.makepyfile(test_scenarios=SCENARIOS)
        for name in ("one", "two"):
            self.example(name)

    def example(self, name: str, smoke: str = SMOKE, below: str = "examples") -> Path:
        folder = self.path / below / name
        folder.mkdir(parents=True)
        (folder / "smoke.toml").write_text(smoke, encoding="utf-8")
        (folder / f"{name}.nomad.hcl").write_text(f'job "{name}" {{}}', encoding="utf-8")
        return folder

    def tell(self, **told: str) -> None:
        by_claim = {key.replace("__", " ").replace("_", "."): value for key, value in told.items()}
        self.pytester.makeconftest(TOLD.format(told=by_claim))

    def run(self, *arguments: str) -> pytest.RunResult:
        # Hypothesis would be imported anew for each of these sessions.
        without = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
        return self.pytester.runpytest_inprocess(*without, *arguments)

    @property
    def entries(self) -> list[dict[str, object]]:
        file = self.path / "reports" / "claims.json"
        found: list[dict[str, object]] = json.loads(file.read_text(encoding="utf-8"))
        return found

    def verdicts(self) -> dict[tuple[object, object], object]:
        return {(e["subject"], e["claim"]): e["verdict"] for e in self.entries}


@pytest.fixture
def site(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.delenv("NOTAILCAR_REPORTS", raising=False)
    monkeypatch.setenv("NOTAILCAR_CACHE", str(pytester.path / "cache"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return Site(pytester)


ALL = {
    (example, claim): "proven"
    for example in ("one", "two")
    for claim in ("egress.address", "identity.tagged")
}


def files_below(path: Path) -> set[str]:
    kept = (p for p in path.rglob("*") if "__pycache__" not in p.parts)
    return {str(p.relative_to(path)) for p in kept}


# -- nothing of it is used


def test_whoever_uses_nothing_of_it_notices_nothing(site: Site) -> None:
    (site.path / "test_scenarios.py").unlink()
    site.pytester.makepyfile(test_other="def test_it(tmp_path):\n    pass\n")
    before = files_below(site.path)
    result = site.run("-o", "tmp_path_retention_policy=none")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert files_below(site.path) == before
    assert "claim" not in result.stdout.str().replace(str(site.path), "")
    result.stdout.fnmatch_lines(["test_other.py .*"])


def test_a_bad_folder_of_examples_is_nobodys_trouble_who_uses_none(site: Site) -> None:
    (site.path / "test_scenarios.py").unlink()
    site.pytester.makepyfile(test_other="def test_it():\n    pass\n")
    assert site.run("--examples", "no/such/folder").ret == 0


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_collecting_writes_nothing(site: Site, workers: tuple[str, ...]) -> None:
    before = files_below(site.path)
    result = site.run("--collect-only", "-q", *workers)
    result.stdout.fnmatch_lines(["*test_egress_address?one?*", "*test_identity_tagged?two?*"])
    assert result.ret == 0
    assert files_below(site.path) == before


def test_the_marker_and_the_options_are_known(site: Site) -> None:
    site.run("--markers").stdout.fnmatch_lines(["@pytest.mark.claim(id):*"])
    site.run("--help").stdout.fnmatch_lines(["NoTailCar:*", "*--examples=PATH*", "*--topology=FILE*"])


# -- verdicts, and what they come to


def test_all_proven(site: Site) -> None:
    result = site.run()
    result.assert_outcomes(passed=4)
    assert result.ret == EXIT_PROVEN
    assert site.verdicts() == ALL
    result.stdout.fnmatch_lines(["proven*egress.address*one*as it was told*", "*reports/claims.json*"])
    assert (site.path / "reports" / "matrix.html").is_file()
    entry = site.entries[0]
    assert set(entry) == {"subject", "claim", "verdict", "reason", "evidence", "seconds"}
    assert entry["seconds"] == 0.25


@pytest.mark.parametrize("outcome", ["refuted", "unproven"])
def test_one_that_is_not_proven_fails(site: Site, outcome: str) -> None:
    site.tell(egress_address__two=outcome)
    result = site.run()
    result.assert_outcomes(passed=3, failed=1)
    assert result.ret == EXIT_REFUTED
    assert site.verdicts() == {**ALL, ("two", "egress.address"): outcome}
    result.stdout.fnmatch_lines([f"*{outcome}: as it was told*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_lab_that_does_not_come_up(site: Site) -> None:
    site.tell(boot="fails")
    result = site.run()
    result.assert_outcomes(errors=4)
    assert result.ret == EXIT_LAB
    assert site.entries == []
    result.stdout.fnmatch_lines(["*no engine answers*", "*-> start one*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*conftest.py:*LabError*")


def test_a_lab_that_fails_in_between(site: Site) -> None:
    site.tell(egress_address__one="no lab")
    result = site.run()
    result.assert_outcomes(passed=3, errors=1)
    assert result.ret == EXIT_LAB
    assert ("one", "egress.address") not in site.verdicts()
    result.stdout.fnmatch_lines(["*the lab burned down*", "*| smoke*", "*-> build another*"])


def test_a_refuted_claim_weighs_more_than_a_failed_lab(site: Site) -> None:
    site.tell(egress_address__one="no lab", egress_address__two="refuted")
    assert site.run().ret == EXIT_REFUTED


def test_a_job_that_cannot_be_read(site: Site) -> None:
    site.tell(egress_address__one="bad input")
    assert site.run().ret == EXIT_USAGE


def test_a_mistake_of_the_harness_is_no_verdict(site: Site) -> None:
    site.tell(egress_address__one="mistake")
    result = site.run()
    assert result.ret == EXIT_LAB
    assert ("one", "egress.address") not in site.verdicts()
    result.stdout.fnmatch_lines(["*ZeroDivisionError*"])


# -- what is wrong with the input


def wrong(site: Site, *arguments: str) -> pytest.RunResult:
    result = site.run(*arguments)
    assert result.ret == EXIT_USAGE
    assert not (site.path / "reports").exists()
    result.stdout.no_fnmatch_line("*Traceback*")
    return result


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_folder_that_is_not_there(site: Site, workers: tuple[str, ...]) -> None:
    wrong(site, "--examples", "no/such", *workers).stdout.fnmatch_lines(
        ["*no/such: there is no such folder*"]
    )


def test_a_folder_without_examples(site: Site) -> None:
    (site.path / "empty").mkdir()
    wrong(site, "--examples", "empty").stdout.fnmatch_lines(
        ["*empty: no example here*", "*-> an example is*"]
    )


def test_a_wrong_smoke_toml(site: Site) -> None:
    site.example("three", SMOKE.replace("tags", "tag"))
    wrong(site).stdout.fnmatch_lines(
        ["*three/smoke.toml: 1 wrong key*", "*line 2: tag: there is no such key*"]
    )


def test_an_exit_that_the_lab_does_not_have(site: Site) -> None:
    site.example("three", SMOKE.replace("exit-a", "exit-z"))
    wrong(site).stdout.fnmatch_lines(["*names the exit exit-z*", "*exit-a, exit-b*"])


def test_a_topology_that_is_none(site: Site) -> None:
    (site.path / "mine.toml").write_text("name = 1", encoding="utf-8")
    wrong(site, "--topology", "mine.toml").stdout.fnmatch_lines(["*mine.toml: 4 wrong keys*"])


def test_a_claim_that_is_none(site: Site) -> None:
    site.pytester.makepyfile(test_scenarios=SCENARIOS.replace("egress.address", "egress.adress"))
    wrong(site).stdout.fnmatch_lines(["*there is no claim 'egress.adress'*", "*egress.address*"])


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_selection_of_nothing(site: Site, workers: tuple[str, ...]) -> None:
    result = wrong(site, "-k", "nonsense", *workers)
    result.stdout.fnmatch_lines(["*nothing is proven*", "*examples (one, two)*"])


# -- what is selected


def test_another_folder_of_examples(site: Site) -> None:
    site.example("mine", below="elsewhere")
    assert site.run("--examples", "elsewhere").ret == 0
    assert {e["subject"] for e in site.entries} == {"mine"}


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ("two", {k for k in ALL if k[0] == "two"}),
        ("egress", {k for k in ALL if k[1] == "egress.address"}),
        ("egress and one", {("one", "egress.address")}),
    ],
)
def test_by_name(site: Site, expression: str, selected: set[tuple[str, str]]) -> None:
    assert site.run("-k", expression).ret == 0
    assert set(site.verdicts()) == selected


def test_a_claim_is_made_of_its_kinds_only(site: Site) -> None:
    site.example("web", 'kind = "serve"\n[[serve]]\nurl = "http://{host}/"\n')
    assert "egress.address" not in {c.id for c in claims_for("serve")}
    site.run()
    assert {e["claim"] for e in site.entries if e["subject"] == "web"} == {"identity.tagged"}


def test_the_repositorys_scenarios_know_egress_worker(pytester: pytest.Pytester) -> None:
    root = Path(__file__).parents[2]
    result = pytester.runpytest_inprocess(
        *("-p", "no:cacheprovider", "--collect-only", "-q", "-k", "egress-worker and not sealed"),
        *("--rootdir", str(root), "--examples", str(root / "examples"), str(root / "scenarios")),
    )
    assert result.ret == 0
    smoke = read_smoke(root / "examples" / "egress-worker" / "smoke.toml")
    for claim in (c for c in claims_for("egress") if not c.absence(smoke)):
        result.stdout.fnmatch_lines([f"*test_{claim.id.replace('.', '_')}?egress-worker?*"])
    assert not (pytester.path / "reports").exists()


# -- several workers


def test_verdicts_of_several_workers_are_in_one_report(site: Site) -> None:
    site.tell(egress_address__two="refuted")
    result = site.run("-n", "2")
    assert result.ret == EXIT_REFUTED
    assert site.verdicts() == {**ALL, ("two", "egress.address"): "refuted"}
    assert len(site.entries) == 4
    result.stdout.fnmatch_lines(["*refuted*egress.address*two*"])
    runs = list((site.path / "reports" / "runs").iterdir())
    assert len(runs) == 1
    assert sorted(p.name for p in runs[0].glob("ledger*")) == ["ledgergw0.jsonl", "ledgergw1.jsonl"]


def test_a_lab_that_fails_in_a_worker(site: Site) -> None:
    site.tell(boot="fails")
    result = site.run("-n", "2")
    assert result.ret == EXIT_LAB
    result.stdout.fnmatch_lines(["*no engine answers*"])


def test_workers_that_use_nothing_of_it_leave_nothing(site: Site) -> None:
    (site.path / "test_scenarios.py").unlink()
    folder = site.path / "scenarios"
    folder.mkdir()
    (folder / "test_other.py").write_text("def test_it():\n    pass\n", encoding="utf-8")
    before = files_below(site.path)
    result = site.run("-n", "2", "scenarios")
    assert result.ret == 0
    assert files_below(site.path) == before
