"""`notailcar test --no-run`: what is said of a job, and what is written beside it."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli.main import cli
from harness.errors import UsageError
from harness.job import example as examples_of
from tests.job.test_first_look import PLAIN

NO_SIDECAR = 'job "plain" {\n  group "plain" {\n    task "t" {\n      driver = "docker"\n    }\n  }\n}\n'


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs" / "mine").mkdir(parents=True)
    (tmp_path / "jobs" / "mine" / "mine.nomad.hcl").write_text(PLAIN, encoding="utf-8")
    return tmp_path / "jobs"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["test", "--no-run", *arguments])


def refused(*arguments: str) -> UsageError:
    error = run(*arguments).exception
    assert isinstance(error, UsageError), error
    return error


def test_it_says_what_a_job_is_taken_for(jobs: Path) -> None:
    done = run("jobs/mine/mine.nomad.hcl")
    assert done.exit_code == 0, done.output
    for said in (
        "jobs/mine/mine.nomad.hcl: job mine",
        "vpn     sidecar",
        "It leaves by an exit node: exit-a.",
        "No worker is told of a proxy",
        'via = ["exit-a"]',
        "smoke.toml:",
        "--write puts it beside the job",
    ):
        assert said in done.output, done.output
    assert not (jobs / "mine" / "smoke.toml").exists()


def test_what_is_written_is_an_example(jobs: Path) -> None:
    assert "written: jobs/mine/smoke.toml" in run("--write", "jobs/mine").output
    example = examples_of.load(jobs / "mine")
    assert example.smoke.egress
    assert example.smoke.egress.via == ("exit-a",)


def test_lines_that_are_pointed_at_are_those_of_the_file(jobs: Path) -> None:
    output = run("--write", "jobs/mine").output
    lines = (jobs / "mine" / "smoke.toml").read_text(encoding="utf-8").splitlines()
    pointed = [int(s.partition(":")[2].split()[0]) for s in output.split() if s.startswith("smoke.toml:")]
    assert pointed
    assert all(not lines[number - 1].startswith(("#", "[")) for number in pointed)


def test_one_that_is_there_is_used_and_never_written_over(jobs: Path) -> None:
    own = 'kind = "egress"\n[egress]\nvia = ["exit-b"]\n'
    (jobs / "mine" / "smoke.toml").write_text(own, encoding="utf-8")
    done = run("--write", "jobs/mine/mine.nomad.hcl")
    assert "is there, and used as it stands" in done.output
    assert (jobs / "mine" / "smoke.toml").read_text(encoding="utf-8") == own


def test_a_folder_of_jobs_leaves_out_those_that_are_none(jobs: Path) -> None:
    (jobs / "plain").mkdir()
    (jobs / "plain" / "plain.nomad.hcl").write_text(NO_SIDECAR, encoding="utf-8")
    done = run("jobs")
    assert done.exit_code == 0
    assert "plain.nomad.hcl: left out" in done.output
    assert "has no sidecar" in done.output
    assert "job mine" in done.output


def test_a_folder_without_any(jobs: Path) -> None:
    (jobs / "mine" / "mine.nomad.hcl").write_text(NO_SIDECAR, encoding="utf-8")
    assert "has no sidecar" in refused("jobs").problem


def test_several_jobs_in_one_folder_share_no_smoke_toml(jobs: Path) -> None:
    (jobs / "mine" / "other.nomad.hcl").write_text(PLAIN, encoding="utf-8")
    assert "has several jobs" in refused("--write", "jobs/mine/mine.nomad.hcl").problem
    assert run("jobs/mine/mine.nomad.hcl").exit_code == 0


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("none", "there is no such file or folder"),
        ("none.nomad.hcl", "there is no such file or folder"),
        (".", "there is no job here"),
        ("x.hcl", "ends in .nomad.hcl"),
    ],
)
def test_what_is_no_job(path: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.hcl").write_text("", encoding="utf-8")
    error = refused(path)
    assert said in error.problem
    assert error.remedy


@pytest.mark.usefixtures("jobs")
def test_a_variable_is_set() -> None:
    assert 'via = ["exit-b"]' in run("--var", "way_out=exit-b", "jobs/mine").output
    assert run("--var", "way_out", "jobs/mine").exit_code == 2
