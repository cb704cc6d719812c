"""The pytest plugin, in sessions of its own: what it runs, writes and says. No lab is booted here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.claims.catalogue import claims_for
from harness.errors import EXIT_LAB, EXIT_PROVEN, EXIT_REFUTED, EXIT_USAGE
from harness.faults.catalogue import FAULTS
from harness.faults.names import NAMES
from harness.job.example import read_smoke
from harness.report import history, record, seal
from harness.supply.pins import load_pins

pytest_plugins = ["pytester"]

HERE = "test_scenarios.py"
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
import os, pytest, signal
from types import SimpleNamespace
from harness.claims.catalogue import fault_claim
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
        if told == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if told == "mistake":
            raise ZeroDivisionError
        history = self.stage.ledger.history(example.name)
        return Judged(claim, example, Verdict(Outcome(told), "as it was told"), 0.25, history)

    def judge_under(self, fault, example, pace):
        return self.judge(fault_claim(fault.name, fault.title, example.smoke.kind), example)

    def discard(self, program):
        raise LabError("a container stays")

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
    assert site.run("--examples", "no/such/folder", "test_other.py").ret == 0


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


def failures(site: Site) -> list[tuple[str, str, str]]:
    made = record.read(site.path / "reports" / "run.json")
    return [(f.subject, f.claim, f.reason) for f in made.failures]


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_what_has_no_verdict_is_kept_with_the_reason(site: Site, workers: tuple[str, ...]) -> None:
    site.tell(egress_address__one="no lab", egress_address__two="mistake", identity_tagged__one="refuted")
    site.run(*workers)
    assert sorted(failures(site)) == [
        ("one", "egress.address", "the lab burned down"),
        ("two", "egress.address", "ZeroDivisionError"),
    ]


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_lab_that_never_came_up_leaves_every_claim_without_a_verdict(
    site: Site, workers: tuple[str, ...]
) -> None:
    site.tell(boot="fails")
    result = site.run(*workers)
    assert {(subject, claim) for subject, claim, _ in failures(site)} == set(ALL)
    result.stdout.no_fnmatch_line("*claims proven*")


def test_what_a_run_that_was_ended_did_not_come_to_is_not_passed_over(site: Site) -> None:
    site.tell(egress_address__two="refuted")
    result = site.run("-x")
    missing = [each for each in ALL if each not in site.verdicts()]
    assert missing
    assert sorted(failures(site)) == sorted((*each, "the run ended before it") for each in missing)
    result.stdout.fnmatch_lines([f"1 of 4 claims refuted, *{len(missing)} without a verdict *"])


def test_a_worker_that_dies_refutes_nothing(site: Site) -> None:
    site.tell(identity_tagged__one="kill")
    result = site.run("-n", "2")
    assert result.ret == EXIT_LAB
    assert failures(site) == [("one", "identity.tagged", "the process that ran it died")]
    assert set(site.verdicts()) == {*ALL} - {("one", "identity.tagged")}


FAULT_SCENARIOS = """
import pytest

@pytest.mark.claim("egress.survives")
def test_egress_survives(survived):
    survived.assert_proven()
"""


def test_a_fault_whose_lab_failed_is_kept_by_its_name(site: Site) -> None:
    site.pytester.makepyfile(test_scenarios=FAULT_SCENARIOS)
    site.tell(**{"egress_survives_dns-down__one": "no lab"})
    result = site.run("--faults", "dns-down,exit-deleted")
    assert result.ret == EXIT_LAB
    assert failures(site) == [("one", "egress.survives.dns-down", "the lab burned down")]
    result.stdout.fnmatch_lines(
        ["Under faults: 3 held, 1 lab error*", "*dns-down, one: the lab burned down*"]
    )


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


# -- what is kept of it


@pytest.mark.parametrize(
    ("workers", "ledger"), [((), "ledger.jsonl"), (("-n", "1"), "ledgergw0.jsonl")], ids=["alone", "xdist"]
)
def test_a_run_says_which_files_it_ran_and_seals_its_reports(
    site: Site, workers: tuple[str, ...], ledger: str
) -> None:
    assert site.run(*workers).ret == EXIT_PROVEN
    reports = site.path / "reports"
    found = json.loads((reports / "run.json").read_text(encoding="utf-8"))
    assert found["site"] == "lab"
    assert set(found["sources"]) == {"one", "two"}
    assert set(found["sources"]["one"]) == {"smoke.toml", "one.nomad.hcl"}
    assert set(found["digests"]) == {"claims.json", f"runs/{found['run']}/{ledger}"}
    assert found["digests"]["claims.json"] == seal.digest(reports / "claims.json")
    assert seal.holds(found)


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_what_changed_since_the_last_green_run_is_said(site: Site, workers: tuple[str, ...]) -> None:
    first = site.run(*workers)
    first.stdout.no_fnmatch_line("*Since the last green run*")
    site.tell(egress_address__two="refuted")
    second = site.run("-k", "egress", *workers)
    second.stdout.fnmatch_lines(
        [
            "*Since the last green run, *",
            "*refuted now*two: egress.address*",
            "*not in this run*one: identity.tagged; two: identity.tagged*",
            "*reports/trend.html*",
        ]
    )
    reports = site.path / "reports"
    kept = history.read(reports / history.FILE)
    assert [len(past.judged) for past in kept] == [4, 2]
    assert [past.green for past in kept] == [True, False]
    assert "Since the last green run" in (reports / "matrix.html").read_text(encoding="utf-8")
    assert "Since the last green run" in (reports / "trend.html").read_text(encoding="utf-8")


def test_a_run_whose_lab_failed_is_kept_as_not_finished(site: Site) -> None:
    site.tell(egress_address__one="no lab")
    site.run()
    (past,) = history.read(site.path / "reports" / history.FILE)
    assert (past.unfinished, past.green) == (True, False)


def test_a_history_that_cannot_be_written_is_no_error_of_the_run(site: Site) -> None:
    (site.path / "reports" / history.FILE).mkdir(parents=True)
    result = site.run()
    assert result.ret == EXIT_PROVEN
    assert site.verdicts() == ALL
    result.stdout.fnmatch_lines(["*no history: *history.jsonl: Is a directory*"])


# -- what is wrong with the input


def wrong(site: Site, *arguments: str) -> pytest.RunResult:
    result = site.run(*arguments)
    assert result.ret == EXIT_USAGE
    assert not (site.path / "reports").exists()
    result.stdout.no_fnmatch_line("*Traceback*")
    return result


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_folder_that_is_not_there(site: Site, workers: tuple[str, ...]) -> None:
    wrong(site, "--examples", "no/such", *workers, HERE).stdout.fnmatch_lines(
        ["*no/such: there is no such folder*"]
    )


def test_a_folder_without_examples(site: Site) -> None:
    (site.path / "empty").mkdir()
    wrong(site, "--examples", "empty", HERE).stdout.fnmatch_lines(
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
    assert site.run("--examples", "elsewhere", HERE).ret == 0
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


# -- the scenarios that ship with the harness


@pytest.fixture
def no_tests(site: Site) -> Site:
    """A folder with jobs, and no tests at all."""
    (site.path / HERE).unlink()
    return site


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_examples_alone_run_the_scenarios_that_ship(no_tests: Site, workers: tuple[str, ...]) -> None:
    no_tests.tell(egress_address__two="refuted")
    result = no_tests.run("--examples", "examples", *workers)
    made = [c.id for c in claims_for("egress") if c.id not in ("egress.fallback", "egress.confined")]
    expected = {(example, claim): "proven" for example in ("one", "two") for claim in made}
    assert no_tests.verdicts() == {**expected, ("two", "egress.address"): "refuted"}
    assert result.ret == EXIT_REFUTED
    assert (no_tests.path / "reports" / "allure" / "index.html").is_file() or list(
        (no_tests.path / "reports" / "runs").glob("*/allure-results/*-result.json")
    )


def test_they_are_collected_without_a_trace(no_tests: Site) -> None:
    before = files_below(no_tests.path)
    result = no_tests.run("--examples", "examples", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["*test_egress.py::test_egress_address?one?", "*test_ports_none_public?two?"])
    assert files_below(no_tests.path) == before


def test_one_example_by_its_own_folder_or_its_job(no_tests: Site) -> None:
    for path in ("examples/two", "examples/two/two.nomad.hcl"):
        result = no_tests.run("--examples", path, "--collect-only", "-q")
        result.stdout.fnmatch_lines(["*test_egress_address?two?"])
        result.stdout.no_fnmatch_line("*?one?")


def test_a_path_that_is_named_is_what_runs(site: Site) -> None:
    assert site.run("--examples", "examples", HERE).ret == EXIT_PROVEN
    assert site.verdicts() == ALL


def test_testpaths_are_of_ones_own_tests(site: Site) -> None:
    (site.path / "pytest.ini").write_text(f"[pytest]\ntestpaths = {HERE}\n", encoding="utf-8")
    assert site.run().ret == EXIT_PROVEN
    assert site.verdicts() == ALL
    assert site.run("--examples", "examples").ret == EXIT_PROVEN
    assert len(site.verdicts()) > len(ALL)


def test_a_job_without_a_smoke_toml_is_told_of_the_way(no_tests: Site) -> None:
    for file in no_tests.path.glob("examples/*/smoke.toml"):
        file.unlink()
    result = no_tests.run("--examples", "examples")
    assert result.ret == EXIT_USAGE
    result.stdout.fnmatch_lines(["*notailcar test *examples/one/one.nomad.hcl*proposes one*"])


def test_a_job_of_which_nothing_is_promised_is_named(no_tests: Site) -> None:
    (no_tests.path / "examples" / "two" / "smoke.toml").unlink()
    result = no_tests.run("--examples", "examples", "-k", "egress_address")
    assert result.ret == EXIT_PROVEN
    result.stdout.fnmatch_lines(
        ["nothing is promised, and nothing proven, of *two.nomad.hcl", "*-> notailcar test --write *"]
    )


# -- fixtures for scenarios of one's own

FIXTURES = ("site", "lab", "nomad", "tailnet", "internet", "run_job", "claims")


def test_fixtures_of_ones_own_scenarios_say_what_they_are(site: Site) -> None:
    result = site.run("--fixtures", "-p", "no:anyio")
    text = result.stdout.str()
    for name in FIXTURES:
        assert f"\n{name} " in text, name
    assert "no docstring" not in text.partition("harness.plugin")[2].partition("fixtures defined")[0]


def test_a_fixture_of_that_name_is_ones_own(site: Site) -> None:
    site.pytester.makepyfile(
        test_scenarios="""
        import pytest

        @pytest.fixture
        def lab():
            return "mine"

        @pytest.fixture
        def nomad(lab):
            return lab

        def test_mine(nomad):
            assert nomad == "mine"
        """
    )
    before = files_below(site.path)
    assert site.run().ret == 0
    assert files_below(site.path) == before


def test_a_lab_that_does_not_come_up_for_a_scenario_of_ones_own(site: Site) -> None:
    site.tell(boot="fails")
    assert site.run("-k", "egress").ret == EXIT_LAB
    claims = site.path / "reports" / "claims.json"
    claims.write_text("of an earlier run", encoding="utf-8")
    site.pytester.makepyfile(test_scenarios="def test_mine(run_job):\n    run_job('examples/one')\n")
    result = site.run()
    assert result.ret == EXIT_LAB
    assert claims.read_text(encoding="utf-8") == "of an earlier run"
    result.stdout.fnmatch_lines(["*no engine answers*", "*-> start one*"])
    result.stdout.no_fnmatch_line("*Traceback*")


# -- what it costs whoever has it installed


def test_what_a_lab_needs_is_imported_when_one_is_asked_for() -> None:
    """Told by what is imported, as time says more of the machine than of the plugin."""
    script = "import sys, harness.plugin.plugin, harness.plugin.site; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "docker",
        "httpx",
        "rich",
        "matplotlib",
        "jinja2",
        "cattrs",
        "allure",
        "testcontainers",
    }
    ours = {name for name in loaded if name.startswith("harness.")}
    assert len(ours) < 16, sorted(ours)


def test_the_names_of_faults_are_those_of_the_faults() -> None:
    assert tuple(FAULTS) == NAMES


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


# -- versions


SERVED = 'kind = "serve"\ntags = ["tag:private-service"]\n[[serve]]\nurl = "https://{host}/"\n'
HEADSCALE = next(pin.version for name, pin in load_pins().further if name == "headscale")


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_what_has_no_part_in_the_chosen_versions_is_left_out_and_told(
    site: Site, workers: tuple[str, ...]
) -> None:
    site.example("served", SERVED)
    result = site.run("--versions", f"headscale={HEADSCALE}", *workers)
    assert result.ret == EXIT_PROVEN
    assert site.verdicts() == ALL
    result.stdout.fnmatch_lines(["*not run with these versions*", "served: *labcontrol*"])
    made = json.loads((site.path / "reports" / "run.json").read_text(encoding="utf-8"))
    assert list(made["outside"]) == ["served"]


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_nothing_is_proven_where_all_that_was_chosen_is_left_out(
    site: Site, workers: tuple[str, ...]
) -> None:
    site.example("served", SERVED)
    result = site.run("--versions", f"headscale={HEADSCALE}", "-k", "served", *workers)
    assert result.ret == EXIT_USAGE
    assert site.entries == []


def test_by_the_default_versions_nothing_is_left_out(site: Site) -> None:
    site.example("served", SERVED)
    site.run("--versions", f"headscale={load_pins().go['headscale'].version}")
    assert ("served", "identity.tagged") in site.verdicts()


def test_the_setting_says_the_versions_where_the_option_does_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTAILCAR_VERSIONS", "nomad=0.1.2")
    result = site.run()
    assert result.ret == EXIT_USAGE
    result.stdout.fnmatch_lines(["*nomad 0.1.2 is not pinned*", "*there are *"])
    assert site.run("--versions", "").ret == EXIT_PROVEN


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
@pytest.mark.parametrize("text", ["nomad", "consul=1.22.3", "tailscale=1.0.0"])
def test_versions_that_cannot_be_run_are_wrong_use(site: Site, text: str, workers: tuple[str, ...]) -> None:
    result = site.run("--versions", text, *workers)
    assert result.ret == EXIT_USAGE
    result.stdout.fnmatch_lines(["*nothing was run*", f"*{text.partition('=')[0]}*"])
    assert not (site.path / "reports").exists()


def test_the_record_says_once_what_went_wrong_with_the_lab(site: Site) -> None:
    site.tell(egress_address__one="no lab", egress_address__two="no lab")
    site.run()
    made = record.read(site.path / "reports" / "run.json")
    assert len(made.failures) == 2
    assert made.problems == ("the lab burned down",)
