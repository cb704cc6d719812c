"""Each egress example holds the snippet of modules/nomad, with no difference but the declared ones."""

import re
import tomllib
from pathlib import Path

import pytest

from harness.job import example as examples
from harness.job.example import Example
from tests.modules import snippet
from tests.modules.job import Job, nomad, render
from tests.modules.sealed_snippet import is_sealed
from tests.toolkit.programs import REPOSITORY

pytestmark = pytest.mark.lab

EGRESS = [
    found
    for found in examples.find(REPOSITORY / "examples")
    if found.smoke.kind == "egress" and not is_sealed(found)
]
DECLARED: dict[str, dict[str, str]] = tomllib.loads(
    (REPOSITORY / "modules/nomad/differences.toml").read_text(encoding="utf-8")
)

# What a user must give, and the names that each example has for itself.
NAMED = {"exit_node": "exit-a", "tailnet_name": "node", "secrets_path": "nomad/jobs/node"}
# Each variable of the snippet, none at its default: so a task that does not use one differs.
CHANGED = {
    **NAMED,
    "login_server": "https://headscale.example.com",
    "tailscale_logs": "true",
    "fallback_exit_nodes": "exit-b,exit-c",
    "check_url": "http://check.example.com/",
    "expected_egress": "198.51.100.20,2001:db8::20",
    "exit_wait": "7",
    "guard_restarts": "9",
    "tailscale_image": "example.com/tailscale:1",
    "guard_image": "example.com/guard:1",
    "gate_image": "example.com/python:1",
    "gate_patience": "8",
    "check_interval": "7s",
}
SETTINGS = pytest.mark.parametrize("given", [NAMED, CHANGED], ids=["defaults", "every variable set"])


def _render(example: Example, given: dict[str, str]) -> Job:
    var_files = [(example.folder / name).relative_to(REPOSITORY) for name in example.smoke.var_files]
    return render(example.job_file.relative_to(REPOSITORY), given, var_files)


def _of(name: str) -> Example:
    (found,) = (example for example in EGRESS if example.name == name)
    return found


@SETTINGS
@pytest.mark.parametrize("example", EGRESS, ids=lambda example: example.name)
def test_an_example_agrees_with_the_snippet(example: Example, given: dict[str, str]) -> None:
    fallback = {"fallback_exit_nodes": "", **given}
    found = snippet.differences(_render(example, fallback), render(snippet.FILE, fallback))
    undeclared = {path: pair for path, pair in found.items() if path not in DECLARED.get(example.name, {})}
    assert not undeclared, "mend the example, or declare it in modules/nomad/differences.toml"
    if given is CHANGED:
        gone = DECLARED.get(example.name, {}).keys() - found.keys()
        assert not gone, "declared in modules/nomad/differences.toml, and there is no such difference"


def test_every_variable_of_the_snippet_is_put_to_the_test() -> None:
    assert set(CHANGED) == snippet.variables()


def test_a_declaration_is_of_an_example_and_gives_a_reason() -> None:
    assert set(DECLARED) <= {example.name for example in EGRESS}
    assert all(reason.strip() for paths in DECLARED.values() for reason in paths.values())


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("        attempts = 2\n", "        attempts = 3\n", "tailscale.RestartPolicy.Attempts"),
        ('        perms       = "0400"\n', "", "egress-guard.Templates.2.Perms"),
        ('      port "socks" {}\n', "", "ports"),
        ("        interval = var.check_interval\n", '        interval = "9s"\n', "service.Checks.0.Interval"),
        ('        HEALTH_OF           = "egress"\n', "", "gate.Env.HEALTH_OF"),
        ('        NO_PROXY = ""\n', "", "worker.Env.NO_PROXY"),
        ("scripts/tailscale/sidecar.sh", "env.template", "tailscale.Templates.0.EmbeddedTmpl"),
        ("        EXIT_WAIT           = var.exit_wait\n", "", "egress-guard.Env.EXIT_WAIT"),
    ],
)
def test_a_change_of_an_example_shows(tmp_path: Path, before: str, after: str, path: str) -> None:
    """How it looks when they do not agree."""
    text = _of("egress-worker").job_file.read_text(encoding="utf-8")
    assert before in text
    changed = tmp_path / "changed.nomad.hcl"
    changed.write_text(text.replace(before, after, 1), encoding="utf-8")
    found = snippet.differences(render(changed, CHANGED), render(snippet.FILE, CHANGED))
    assert set(found) == {path}


def test_the_pieces_are_all_that_a_job_needs(tmp_path: Path) -> None:
    """Pasted into a job of one task, as the README says, they make the same job."""
    piece = snippet.pieces()
    own = tmp_path / "own.nomad.hcl"
    own.write_text(
        f"""{piece["1"]}
job "own" {{
  group "own" {{
{piece["2"]}
{piece["3"]}
    task "own" {{
      driver = "docker"
      config {{
        image        = "example.com/own:1"
        network_mode = "host"
      }}
      env {{
{piece["4"]}
      }}
    }}
  }}
}}
""",
        encoding="utf-8",
    )
    assert not snippet.differences(render(own, CHANGED), render(snippet.FILE, CHANGED))


def test_each_task_that_goes_out_is_looked_at() -> None:
    job = render(snippet.FILE, CHANGED)
    (group,) = job["TaskGroups"]
    (worker,) = (task for task in group["Tasks"] if task["Name"] not in snippet.TASKS)
    group["Tasks"].insert(0, {**worker, "Name": "another", "Env": {}})
    assert set(snippet.differences(job, render(snippet.FILE, CHANGED))) == {
        f"worker.Env.{name}" for name in snippet.proxies()
    }


def test_the_snippet_is_formatted_and_valid() -> None:
    assert nomad("fmt", "-check", "-list", snippet.FILE.parent).stdout == ""
    done = nomad("job", "validate", "-var=exit_node=exit-a", snippet.FILE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_names_every_piece() -> None:
    readme = (REPOSITORY / snippet.FILE.parent / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| (\d) \|", readme, re.MULTILINE)) == set(snippet.pieces())
