"""`notailcar gate` on the reports of a run: it passes what is well, and refuses each way to be not enough."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from harness.claims.verdict import Outcome
from harness.errors import EXIT_PROVEN, EXIT_REFUTED, UsageError
from harness.gate import policy
from tests.gate import build
from tests.gate.build import SITE, WORKER
from tests.gate.conftest import Gate

GATES = Path(__file__).parents[2] / "gates"
DNS = (WORKER, "egress.dns")


def cases(reports: Path) -> dict[tuple[str, str], ET.Element]:
    root = ET.fromstring((reports / "gate.xml").read_text(encoding="utf-8"))  # noqa: S314 - our own file
    return {(c.attrib["classname"], c.attrib["name"]): c for c in root.iter("testcase")}


def refused(reports: Path) -> dict[tuple[str, str], str]:
    found = {key: case.find("failure") for key, case in cases(reports).items()}
    return {key: failure.attrib["message"] for key, failure in found.items() if failure is not None}


def test_a_sound_run_of_everything_passes(repository: Path, gate: Gate) -> None:
    reports = build.run(repository)
    done = gate()
    assert done.exit_code == EXIT_PROVEN, done.output
    assert done.output.startswith("passed  ")
    assert "refused" not in done.output
    found = cases(reports)
    assert {claim for about, claim in found if about == WORKER} >= {"egress.address", "secrets.not_exposed"}
    assert {about for about, _ in found} == {"reports", "run", WORKER, SITE}
    assert not refused(reports)


def test_all_shows_what_is_met(repository: Path, gate: Gate) -> None:
    build.run(repository)
    assert "That is how egress.dns was found." not in gate().output
    assert "That is how egress.dns was found." in gate("--all").output


def test_a_missing_claim(repository: Path, gate: Gate) -> None:
    reports = build.run(repository, {DNS: None})
    assert gate().exit_code == EXIT_REFUTED
    assert refused(reports) == {DNS: "this run has no verdict on it"}


def test_an_old_run(repository: Path, gate: Gate) -> None:
    reports = build.run(repository, began=time.time() - 25 * 3600)
    done = gate()
    assert done.exit_code == EXIT_REFUTED
    assert "25 h 0 min ago" in refused(reports)["run", "age"]
    assert gate(policy='max_age = "2d"\nfolder = "../examples"\n').exit_code == EXIT_PROVEN


def test_a_run_that_is_yet_to_come(repository: Path, gate: Gate) -> None:
    reports = build.run(repository, began=time.time() + 3600)
    assert gate().exit_code == EXIT_REFUTED
    assert "a clock is wrong" in refused(reports)["run", "age"]


@pytest.mark.parametrize("outcome", [Outcome.REFUTED, Outcome.UNPROVEN])
def test_a_claim_that_is_not_proven(repository: Path, gate: Gate, outcome: Outcome) -> None:
    reports = build.run(repository, {DNS: outcome})
    done = gate()
    assert done.exit_code == EXIT_REFUTED
    assert refused(reports) == {DNS: f"{outcome}: That is how egress.dns was found."}
    assert "egress.dns" in done.output


def test_a_report_of_another_commit(repository: Path, gate: Gate) -> None:
    reports = build.run(repository)
    (repository / "README").write_text("new", encoding="utf-8")
    build.git(repository, "add", ".")
    build.git(repository, "commit", "--quiet", "--message", "Go on")
    assert gate().exit_code == EXIT_REFUTED
    ((where, why),) = refused(reports).items()
    assert where == ("run", "commit")
    assert "the run is of commit " in why
    assert "is checked out" in why
    assert gate(policy='commit = "any"\nfolder = "../examples"\n').exit_code == EXIT_PROVEN


def test_files_that_differ_from_the_commit(repository: Path, gate: Gate) -> None:
    (repository / ".gitignore").write_text("reports/\n.env\n", encoding="utf-8")
    reports = build.run(repository)
    assert gate().exit_code == EXIT_REFUTED
    ((where, why),) = refused(reports).items()
    assert where == ("run", "edits")
    assert "the run was made with files that differ from its commit; files differ now" in why


def test_no_git_checkout_at_all(repository: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(repository / "none"))
    reports = build.run(repository)
    assert gate().exit_code == EXIT_REFUTED
    assert "started in no git checkout" in refused(reports)["run", "commit"]


# -- files that are not what the run wrote


def test_a_verdict_that_was_edited(repository: Path, gate: Gate) -> None:
    reports = build.run(repository, {(SITE, "serve.reachable"): Outcome.REFUTED})
    build.edit(
        reports / "claims.json",
        lambda data: [{**e, "verdict": "proven"} if e["verdict"] == "refuted" else e for e in data],
    )
    assert gate().exit_code == EXIT_REFUTED
    assert set(refused(reports)) == {("reports", "claims.json")}
    assert "edited, or of another run" in refused(reports)["reports", "claims.json"]


@pytest.mark.parametrize(
    "how",
    [
        lambda data: {**data, "commit": "0" * 40},
        lambda data: {**data, "began": data["began"] + 1},
        lambda data: {**data, "digests": {**data["digests"], "claims.json": "0" * 64}},
        lambda data: {key: value for key, value in data.items() if key != "seal"},
    ],
)
def test_a_record_that_was_edited(repository: Path, gate: Gate, how: Callable[[Any], Any]) -> None:
    reports = build.run(repository)
    build.edit(reports / "run.json", how)
    assert gate().exit_code == EXIT_REFUTED
    assert "it is not what the run wrote" in refused(reports)["reports", "run.json"]


def test_blanks_are_no_edit_of_a_record(repository: Path, gate: Gate) -> None:
    reports = build.run(repository)
    build.edit(reports / "run.json", lambda data: dict(sorted(data.items())))
    assert gate().exit_code == EXIT_PROVEN


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_text("", encoding="utf-8")])
def test_a_ledger_that_is_not_as_it_was(
    repository: Path, gate: Gate, spoil: Callable[[Path], object]
) -> None:
    reports = build.run(repository)
    ledger = reports / "runs" / build.RUN / "ledger.jsonl"
    spoil(ledger)
    assert gate().exit_code == EXIT_REFUTED
    found = refused(reports)
    assert found.pop(("reports", f"runs/{build.RUN}/ledger.jsonl"))
    assert all("the run's ledger does not have so" in why for why in found.values())
    assert DNS in found


def test_evidence_that_the_ledger_does_not_have_also_under_digests_made_anew(
    repository: Path, gate: Gate
) -> None:
    reports = build.run(repository)

    def other_packets(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
        quoted = data[0]["evidence"][0]
        quoted["fact"]["packets"] = 13
        return data

    build.edit(reports / "claims.json", other_packets)
    build.seal_anew(reports)
    assert gate().exit_code == EXIT_REFUTED
    ((_, why),) = refused(reports).items()
    assert why == "proven, by observations that the run's ledger does not have so: 1"


def test_reports_without_digests(repository: Path, gate: Gate) -> None:
    reports = build.run(repository)
    build.edit(reports / "run.json", lambda data: {**data, "digests": {}})
    build.seal_anew(reports)
    assert gate().exit_code == EXIT_REFUTED
    assert "nothing ties it to the run" in refused(reports)["reports", "claims.json"]
    assert "nothing ties it to the run" in refused(reports)["reports", f"runs/{build.RUN}/ledger"]


def test_a_job_that_was_edited_since(repository: Path, gate: Gate) -> None:
    reports = build.run(repository)
    (repository / "examples/worker/worker.nomad.hcl").write_text('job "worker" { }\n', encoding="utf-8")
    rules = 'commit = "any"\nfolder = "../examples"\n'
    assert gate(policy=rules).exit_code == EXIT_REFUTED
    assert refused(reports) == {
        (WORKER, "files"): "edited since the run: examples/worker/worker.nomad.hcl"
    } or (refused(reports) == {(WORKER, "files"): "edited since the run: worker.nomad.hcl"})


# -- nothing passes by its absence


def test_no_reports(repository: Path, gate: Gate) -> None:
    done = gate()
    assert done.exit_code == EXIT_REFUTED
    assert set(refused(repository / "reports")) == {("reports", "run.json"), ("reports", "claims.json")}


def test_a_run_that_judged_nothing(repository: Path, gate: Gate) -> None:
    reports = build.run(repository)
    build.edit(reports / "claims.json", lambda _: [])
    build.seal_anew(reports)
    assert gate().exit_code == EXIT_REFUTED
    assert {why for (about, _), why in refused(reports).items()} == {"the example is not in this run"}


def test_a_run_that_judged_nothing_and_a_policy_that_knows_no_folder(
    repository: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = build.run(repository)
    build.edit(reports / "run.json", lambda data: {**data, "entries": []})
    build.edit(reports / "claims.json", lambda _: [])
    build.seal_anew(reports)
    elsewhere = repository / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert gate("--reports", str(reports)).exit_code == EXIT_REFUTED
    assert "nothing is asked for" in refused(reports)["policy", "require"]


def test_an_example_that_is_not_in_the_run_says_so_once(repository: Path, gate: Gate) -> None:
    reports = build.run(repository)
    build.edit(reports / "claims.json", lambda data: [e for e in data if e["subject"] != SITE])
    build.seal_anew(reports)
    done = gate()
    assert done.exit_code == EXIT_REFUTED
    assert done.output.count("the example is not in this run") == 1
    assert len(refused(reports)) == 7
    build.edit(reports / "claims.json", lambda _: [])
    build.seal_anew(reports)
    assert done.exit_code == EXIT_REFUTED
    assert "these examples are not in this run: site, worker" in gate().output


@pytest.mark.parametrize(
    "rules",
    [
        "require = []\n",
        '[[require]]\nclaims = ["egress.adress"]\nexamples = ["none"]\n',
        '[[require]]\nclaims = ["*"]\n',
        "[[require]]\nclaims = []\n",
        '[[require]]\nclaims = ["serve.*"]\nexamples = ["worker"]\n',
    ],
)
def test_a_policy_that_asks_for_nothing(repository: Path, gate: Gate, rules: str) -> None:
    reports = build.run(repository)
    assert gate(policy=f'folder = "../examples"\n{rules}').exit_code == EXIT_REFUTED
    assert all(about == "policy" for about, _ in refused(reports))


def test_a_claim_proven_by_nothing(repository: Path, gate: Gate) -> None:
    reports = build.run(repository)
    build.edit(reports / "claims.json", lambda data: [{**data[0], "evidence": []}, *data[1:]])
    build.seal_anew(reports)
    assert gate().exit_code == EXIT_REFUTED
    assert set(refused(reports).values()) == {"proven by no observation at all"}


# -- what a policy chooses


def test_versions(repository: Path, gate: Gate) -> None:
    reports = build.run(repository)
    head = 'folder = "../examples"\n[versions]\n'
    assert gate(policy=f'{head}nomad = "1.11.*"\ntailscale = "1.102.3"\n').exit_code == EXIT_PROVEN
    assert gate(policy=f'{head}nomad = "1.10.*"\nheadscale = "0.29.3"\n').exit_code == EXIT_REFUTED
    assert refused(reports) == {
        ("versions", "nomad"): "the run had 1.11.3; the policy asks for 1.10.*",
        ("versions", "headscale"): "the run names none; it names those of nomad, tailscale",
    }


ALLOW = """
folder = "../examples"
[[allow]]
site = "live"
claims = ["egress.dns"]
reason = "nobody stands outside"
"""


def test_unproven_at_a_site_where_that_is_allowed(repository: Path, gate: Gate) -> None:
    reports = build.run(repository, {DNS: Outcome.UNPROVEN}, site="live")
    done = gate(policy=ALLOW)
    assert done.exit_code == EXIT_PROVEN, done.output
    assert "allowed  worker  egress.dns" in done.output
    assert "nobody stands outside" in done.output
    assert "1 of them not met and allowed" in done.output
    skipped = cases(reports)[DNS].find("skipped")
    assert skipped is not None
    assert "nobody stands outside" in skipped.attrib["message"]


@pytest.mark.parametrize(
    ("claim", "outcome", "site"),
    [
        ("egress.dns", Outcome.UNPROVEN, "lab"),
        ("egress.dns", Outcome.REFUTED, "live"),
        ("egress.address", Outcome.UNPROVEN, "live"),
    ],
)
def test_what_is_not_allowed(repository: Path, gate: Gate, claim: str, outcome: Outcome, site: str) -> None:
    reports = build.run(repository, {(WORKER, claim): outcome}, site=site)
    assert gate(policy=ALLOW).exit_code == EXIT_REFUTED
    assert set(refused(reports)) == {(WORKER, claim)}


def test_faults_are_asked_for_by_a_part_more(repository: Path, gate: Gate) -> None:
    rules = """
    folder = "../examples"
    [[require]]
    claims = ["*.*"]
    [[require]]
    claims = ["egress.survives.exit-*", "!egress.survives.exit-s*"]
    """
    held = "egress.survives.exit-deleted"
    reports = build.run(repository, more=[(WORKER, held, Outcome.PROVEN)])
    assert gate(policy=rules).exit_code == EXIT_REFUTED
    lacking = {claim for _, claim in refused(reports)}
    assert "egress.survives.exit-killed" in lacking
    assert lacking.isdisjoint({held, "egress.survives.exit-stopped", "egress.survives.exit-switched"})


def test_refuted_is_refused_though_no_rule_asks(repository: Path, gate: Gate) -> None:
    fault = "egress.survives.exit-deleted"
    reports = build.run(repository, more=[(WORKER, fault, Outcome.REFUTED)])
    assert gate().exit_code == EXIT_REFUTED
    assert "refuted, though no rule asks" in refused(reports)[WORKER, fault]


def test_of_two_verdicts_the_worse_counts(repository: Path, gate: Gate) -> None:
    reports = build.run(repository, {DNS: Outcome.REFUTED}, more=[(*DNS, Outcome.PROVEN)])
    assert gate().exit_code == EXIT_REFUTED
    assert set(refused(reports)) == {DNS}


def test_a_claim_of_ones_own_scenario(repository: Path, gate: Gate) -> None:
    rules = 'folder = "../examples"\n[[require]]\nclaims = ["crawl.polite"]\nexamples = ["worker"]\n'
    build.run(repository, more=[(WORKER, "crawl.polite", Outcome.PROVEN)])
    assert gate(policy=rules).exit_code == EXIT_PROVEN
    reports = build.run(repository)
    assert gate(policy=rules).exit_code == EXIT_REFUTED
    assert set(refused(reports)) == {(WORKER, "crawl.polite")}


def test_what_nothing_is_asked_of_is_said(repository: Path, gate: Gate) -> None:
    rules = 'folder = "../examples"\n[[require]]\nexamples = ["*", "!site"]\n'
    build.run(repository, {(SITE, "serve.private"): Outcome.UNPROVEN})
    done = gate(policy=rules)
    assert done.exit_code == EXIT_PROVEN
    assert "unproven, and no rule asks for it: site, serve.private" in done.output
    assert "no rule asks anything of: site" in done.output


def test_reports_elsewhere_and_no_folder_of_examples(
    repository: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = build.run(repository, {DNS: None})
    (repository / "elsewhere").mkdir()
    monkeypatch.chdir(repository / "elsewhere")
    done = gate("--reports", str(reports))
    assert done.exit_code == EXIT_REFUTED
    assert set(refused(reports)) == {DNS}
    assert not (repository / "elsewhere" / "reports").exists()


# -- what cannot be read


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("claims.json", "[", r"claims\.json"),
        ("claims.json", '[{"subject": 1}]', r"claims\.json: entry 1: not the keys of a claim"),
        ("claims.json", "\udcff", r"claims\.json"),
        ("run.json", "{}", r"run\.json: .*began"),
        ("run.json", "[]", r"run\.json"),
        ("run.json", "nonsense", r"run\.json"),
    ],
)
def test_reports_that_cannot_be_read(repository: Path, gate: Gate, name: str, text: str, said: str) -> None:
    reports = build.run(repository)
    (reports / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UsageError, match=said):
        gate()


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ('max_age = "soon"', "line 1: max_age: 'soon' is no age"),
        ("max_age = 24", "line 1: max_age: 24 is no age"),
        ('commit = "mine"', "line 1: commit: 'mine' is none of checked-out, any"),
        ("[[require]]\nclaim = []", "line 2: require[0].claim: there is no such key"),
        ('[[allow]]\nclaims = ["*.*"]\nreason = "x"\nsite = "moon"', "line 4: allow[0].site: 'moon' is none"),
        ('[[allow]]\nclaims = ["*.*"]\nsite = "live"', "allow[0].reason: is missing"),
        ("[versions]\nnomad = 1", "line 2: versions.nomad: 1 is not text"),
    ],
)
def test_a_policy_that_cannot_be_read(repository: Path, gate: Gate, rules: str, said: str) -> None:
    build.run(repository)
    with pytest.raises(UsageError, match=r"policy\.toml") as error:
        gate(policy=rules)
    assert said in str(error.value)


def test_a_policy_or_a_folder_that_is_not_there(repository: Path, gate: Gate) -> None:
    build.run(repository)
    with pytest.raises(UsageError, match="there is no such policy"):
        gate("--require", "none.toml")
    with pytest.raises(UsageError, match="there is no such folder of examples"):
        gate(policy='folder = "none"\n')


def test_the_repositorys_own_policies() -> None:
    release, live, default = (
        policy.read(GATES / "release.toml"),
        policy.read(GATES / "live.toml"),
        policy.Policy(),
    )
    assert (release.max_age, release.commit) == (default.max_age, default.commit)
    assert release.require == (*default.require, policy.Require(("*.survives.*",)))
    assert release.allow == ()
    assert {rule.site for rule in live.allow} == {policy.Site.LIVE}
    assert live.require == default.require
    for own, name in ((release, "release.toml"), (live, "live.toml")):
        folder = policy.folder_of(own, GATES / name)
        assert folder is not None
        assert folder.resolve() == GATES.parent / "examples"


def test_what_a_report_says_cannot_break_the_xml(repository: Path, gate: Gate) -> None:
    reports = build.run(repository)
    evil = "\x00\x1b[31m<b>&\ud800"
    data = json.loads((reports / "claims.json").read_text(encoding="utf-8"))
    data[0] |= {"reason": evil, "verdict": "refuted"}
    (reports / "claims.json").write_text(json.dumps(data), encoding="utf-8")
    build.seal_anew(reports)
    assert gate().exit_code == EXIT_REFUTED
    assert refused(reports)
