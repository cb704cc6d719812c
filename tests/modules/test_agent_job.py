"""The job of agent-worker-egress, as Nomad itself reads it: what its agent is given."""

from pathlib import Path

import pytest

from tests.modules.job import Job, nomad, render
from tests.toolkit.programs import REPOSITORY

pytestmark = pytest.mark.lab

EXAMPLE = Path("examples/agent-worker-egress")
FILE = EXAMPLE / "agent-worker-egress.nomad.hcl"
VAR_FILES = sorted(path.relative_to(REPOSITORY) for path in (REPOSITORY / EXAMPLE / "vars").glob("*.hcl"))


def _worker(job: Job) -> Job:
    (worker,) = (task for task in job["TaskGroups"][0]["Tasks"] if task["Name"] == "worker")
    return dict(worker)


def test_the_agent_has_all_its_files() -> None:
    templates = _worker(render(FILE, {"exit_node": "exit-a"}))["Templates"]
    rendered = {Path(t["DestPath"]).name: t["EmbeddedTmpl"] for t in templates}
    assert rendered == {
        path.name: path.read_text(encoding="utf-8") for path in (REPOSITORY / EXAMPLE).glob("*.py")
    }
    assert not any(t["LeftDelim"] in t["EmbeddedTmpl"] for t in templates)


def test_each_variable_of_the_agent_reaches_it() -> None:
    given = {
        "agent_seeds": "https://a.example.com/,https://b.example.com/?q=1",
        "agent_hosts": "c.example.com,d.example.com",
        "agent_report_url": "https://reports.example.com/",
        "agent_pages": "7",
        "agent_depth": "3",
        "agent_host_delay": "0.5",
    }
    environment = _worker(render(FILE, {"exit_node": "exit-a", **given}))["Env"]
    assert {name: environment[name.upper()] for name in given} == given


def test_a_request_ends_before_the_job_is_killed() -> None:
    worker = _worker(render(FILE, {"exit_node": "exit-a"}))
    nanoseconds = 1_000_000_000
    assert float(worker["Env"]["AGENT_TIMEOUT"]) * nanoseconds < worker["KillTimeout"]


@pytest.mark.parametrize("var_file", VAR_FILES, ids=lambda path: path.stem)
def test_is_formatted_and_valid_with_each_var_file(var_file: Path) -> None:
    assert nomad("fmt", "-check", "-list", EXAMPLE).stdout == ""
    done = nomad("job", "validate", f"-var-file={var_file}", FILE)
    assert done.returncode == 0, done.stdout + done.stderr
