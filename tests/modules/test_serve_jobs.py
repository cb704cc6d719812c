"""The jobs that serve, as Nomad itself reads them: what each task is given, and what none is."""

from pathlib import Path
from typing import Any

import pytest

from harness.job import example as examples
from harness.job.example import Example
from tests.modules import serve_snippet
from tests.modules.job import render
from tests.modules.sealed_snippet import is_sealed
from tests.toolkit import programs
from tests.toolkit.programs import REPOSITORY

pytestmark = pytest.mark.lab

SERVE = [
    found
    for found in examples.find(REPOSITORY / "examples")
    if found.smoke.kind == "serve" and not is_sealed(found)
]
EACH = pytest.mark.parametrize("example", SERVE, ids=lambda example: example.name)
Tasks = dict[str, dict[str, Any]]


def _tasks(example: Example) -> Tasks:
    text = example.job_file.read_text(encoding="utf-8")
    given = {"tailnet_domain": "example.ts.net"} if 'variable "tailnet_domain"' in text else {}
    job = render(example.job_file.relative_to(REPOSITORY), given)
    (group,) = job["TaskGroups"]
    return {task["Name"]: task for task in group["Tasks"]}


@EACH
def test_no_task_has_a_privilege(example: Example) -> None:
    for name, task in _tasks(example).items():
        config = task["Config"]
        assert config["network_mode"] == "host", name
        assert config["cap_drop"] == ["ALL"], name
        assert config["security_opt"] == ["no-new-privileges"], name
        assert config["readonly_rootfs"] is True, name
        assert not {"cap_add", "privileged", "devices", "volumes", "ports"} & config.keys(), name


@EACH
def test_the_key_is_a_file_of_serve_and_nowhere_else(example: Example) -> None:
    for name, task in _tasks(example).items():
        templates: list[dict[str, Any]] = task["Templates"] or []
        with_key = [t for t in templates if "{{ .TS_AUTHKEY }}" in t["EmbeddedTmpl"]]
        assert bool(with_key) == (name == "serve"), name
        for template in with_key:
            assert template["DestPath"] == "${NOMAD_SECRETS_DIR}/ts-authkey"
            assert (template["Perms"], template["Envvars"] or False) == ("0400", False)


@EACH
def test_tasks_run_the_files_of_the_repository(example: Example) -> None:
    tasks = _tasks(example)
    for name, files in (
        ("tailscale", [programs.SIDECAR]),
        ("health", [programs.HEALTH]),
        ("serve", [programs.SERVE, programs.TAILNET]),
    ):
        brought = {Path(t["DestPath"]).name: t for t in tasks[name]["Templates"]}
        for file in files:
            assert brought[file.name]["EmbeddedTmpl"] == file.read_text(encoding="utf-8")
    for task in tasks.values():
        for template in task["Templates"] or []:
            if template["LeftDelim"] == "<%nomad":
                assert template["LeftDelim"] not in template["EmbeddedTmpl"]


@EACH
def test_serve_is_withdrawn_first(example: Example) -> None:
    """The leader of a group is killed first, its sidecars last (nomad, client/allocrunner, killTasks)."""
    tasks = _tasks(example)
    assert [name for name, task in tasks.items() if task["Leader"]] == ["serve"]
    assert {name for name, task in tasks.items() if task["Lifecycle"]} == {"tailscale", "health"}
    assert all(tasks[name]["Lifecycle"]["Sidecar"] for name in ("tailscale", "health"))
    # An order to tailscaled may take 10 s, as serve.sh has it.
    assert tasks["serve"]["KillTimeout"] > 10_000_000_000


def test_each_of_them_is_looked_at() -> None:
    assert {example.name for example in SERVE} >= {
        "private-http-service",
        "private-api-service",
        "private-multi-port-service",
        "private-tcp-service",
        "private-service-acl",
    }
    assert set(serve_snippet.TASKS) <= set(_tasks(SERVE[0]))
