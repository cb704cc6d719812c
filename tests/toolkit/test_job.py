"""The example's job file, as Nomad itself reads it."""

import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.toolkit import programs
from tests.toolkit.programs import REPOSITORY
from tests.toolkit.tailnet import free_port

pytestmark = pytest.mark.lab

EXAMPLE = Path("examples/egress-worker")
JOB = EXAMPLE / "egress-worker.nomad.hcl"
VAR_FILES = sorted(path.relative_to(REPOSITORY) for path in (REPOSITORY / EXAMPLE / "vars").glob("*.hcl"))


def _nomad(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Nomad's command line at the repository's root, with no agent to ask."""
    environment = {"PATH": os.environ["PATH"], "NOMAD_ADDR": f"http://127.0.0.1:{free_port()}"}
    return subprocess.run(
        [programs.find("nomad"), *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _job(*arguments: str) -> dict[str, Any]:
    done = _nomad("job", "run", "-output", *arguments, JOB)
    assert done.returncode == 0, done.stderr
    job: dict[str, Any] = json.loads(done.stdout)["Job"]
    return job


def _tasks(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {task["Name"]: task for task in job["TaskGroups"][0]["Tasks"]}


@pytest.fixture(scope="module")
def tasks() -> dict[str, dict[str, Any]]:
    return _tasks(_job(f"-var-file={EXAMPLE}/vars/exit-a.hcl"))


def test_is_formatted() -> None:
    assert _nomad("fmt", "-check", "-recursive", "examples", "acl").returncode == 0


@pytest.mark.parametrize("var_file", VAR_FILES, ids=lambda path: path.stem)
def test_is_valid_with_each_var_file(var_file: Path) -> None:
    done = _nomad("job", "validate", f"-var-file={var_file}", JOB)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_exit_node_is_no_job() -> None:
    done = _nomad("job", "validate", JOB)
    assert done.returncode != 0
    assert "exit_node" in done.stderr


def test_tasks_run_the_files_of_the_repository(tasks: dict[str, dict[str, Any]]) -> None:
    for task, file in (
        ("tailscale", programs.SIDECAR),
        ("egress-guard", programs.GUARD),
        ("worker", EXAMPLE / "worker.py"),
    ):
        template = tasks[task]["Templates"][0]
        assert template["EmbeddedTmpl"] == (REPOSITORY / file).read_text(encoding="utf-8")
        assert template["LeftDelim"] not in template["EmbeddedTmpl"]


def test_the_key_is_a_file_of_the_guard_and_nowhere_else(tasks: dict[str, dict[str, Any]]) -> None:
    rendered = {
        name: [t for t in task["Templates"] if "nomadVar" in t["EmbeddedTmpl"]]
        for name, task in tasks.items()
    }
    assert not rendered["tailscale"]
    assert not rendered["worker"]
    (template,) = rendered["egress-guard"]
    assert template["DestPath"].startswith("${NOMAD_SECRETS_DIR}/")
    assert (template["Perms"], template["Envvars"] or False) == ("0400", False)


def test_no_task_has_a_privilege(tasks: dict[str, dict[str, Any]]) -> None:
    for task in tasks.values():
        config = task["Config"]
        assert config["network_mode"] == "host"
        assert config["cap_drop"] == ["ALL"]
        assert config["readonly_rootfs"] is True
        assert not {"cap_add", "privileged", "devices", "volumes"} & config.keys()
    assert tasks["worker"]["User"] == "65534:65534"


def test_the_worker_is_given_every_spelling_of_its_proxies(tasks: dict[str, dict[str, Any]]) -> None:
    environment = tasks["worker"]["Env"]
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        assert environment[name] == environment[name.lower()]
    assert environment["NO_PROXY"] == ""


def test_values_are_set_as_plain_text() -> None:
    """As smoke.toml does: its placeholders become text such as this, and no quoting is needed."""
    smoke = tomllib.loads((REPOSITORY / EXAMPLE / "smoke.toml").read_text(encoding="utf-8"))
    var_files = [f"-var-file={EXAMPLE / name}" for name in smoke["var_files"]]
    given = {
        name: "198.51.100.20,2001:db8::20" if "{" in value else value for name, value in smoke["vars"].items()
    }
    made = _tasks(_job(*var_files, *(f"-var={name}={value}" for name, value in given.items())))
    environment = {**made["egress-guard"]["Env"], **made["worker"]["Env"]}
    assert environment["EXPECTED_EGRESS"] == given["expected_egress"]
    assert environment["LOGIN_SERVER"] == given["login_server"]
    assert environment["WORKER_URLS"] == given["worker_urls"]
    assert environment["EXIT_NODE"] == smoke["egress"]["via"][0]
    assert environment["FALLBACK_EXIT_NODES"] == smoke["egress"]["fallback"][0]
