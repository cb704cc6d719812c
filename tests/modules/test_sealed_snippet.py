"""The sealed examples hold the snippet of modules/nomad, and each of them what its open twin does."""

import re
import tomllib
from pathlib import Path

import pytest

from harness.job import example as examples
from harness.job.example import Example
from tests.modules import sealed_snippet as snippet
from tests.modules.job import Job, flat, nomad, render
from tests.modules.snippet import pieces_of, variables_of
from tests.toolkit.programs import REPOSITORY

pytestmark = pytest.mark.lab

SEALED = [found for found in examples.find(REPOSITORY / "examples") if snippet.is_sealed(found)]
EACH = pytest.mark.parametrize("example", SEALED, ids=lambda example: example.name)
DECLARED: dict[str, dict[str, str]] = tomllib.loads(
    (REPOSITORY / "modules/nomad/sealed-differences.toml").read_text(encoding="utf-8")
)

# What each example has for itself: names, how often it is checked, whom it may reach.
NAMED = {
    "tailnet_name": "node",
    "secrets_path": "nomad/jobs/node",
    "uplink_allow": "relay*.example.net:443",
    "check_interval": "7s",
}
# Each variable of the snippet, none at its default: so a task that does not use one differs.
CHANGED = {
    **NAMED,
    "exit_node": "exit-a",
    "login_server": "https://headscale.example.com",
    "tailscale_logs": "true",
    "fallback_exit_nodes": "exit-b,exit-c",
    "check_url": "http://check.example.com/",
    "expected_egress": "198.51.100.20,2001:db8::20",
    "exit_wait": "7",
    "guard_restarts": "9",
    "tailscale_image": "example.com/tailscale:1",
    "guard_image": "example.com/guard:1",
    "uplink_image": "example.com/python:1",
}
SETTINGS = pytest.mark.parametrize("given", [{**NAMED, "exit_node": "exit-a"}, CHANGED], ids=["few", "all"])


def _render(example: Example, given: dict[str, str]) -> Job:
    text = example.job_file.read_text(encoding="utf-8")
    known = {name: value for name, value in given.items() if f'variable "{name}"' in text}
    return render(example.job_file.relative_to(REPOSITORY), known)


def _of(name: str) -> Example:
    (found,) = (example for example in SEALED if example.name == name)
    return found


def _covers(declared: str, path: str) -> bool:
    return f"{path}.".startswith(f"{declared}.")


def test_there_is_one_of_each_kind() -> None:
    assert {example.smoke.kind for example in SEALED} == {"egress", "serve"}


@EACH
@SETTINGS
def test_an_example_agrees_with_the_snippet(example: Example, given: dict[str, str]) -> None:
    found = snippet.differences(_render(example, given), render(snippet.FILE, given))
    declared = DECLARED.get(example.name, {})
    undeclared = {path: pair for path, pair in found.items() if not any(_covers(d, path) for d in declared)}
    assert not undeclared, "mend the example, or declare it in modules/nomad/sealed-differences.toml"
    if given is CHANGED:
        gone = [d for d in declared if not any(_covers(d, path) for path in found)]
        assert not gone, "declared in modules/nomad/sealed-differences.toml, and there is no such difference"


def test_a_declaration_is_of_an_example_and_gives_a_reason() -> None:
    assert set(DECLARED) <= {example.name for example in SEALED}
    assert all(reason.strip() for paths in DECLARED.values() for reason in paths.values())


def test_every_variable_of_the_snippet_is_put_to_the_test() -> None:
    assert set(CHANGED) == variables_of(snippet.FILE)


@EACH
def test_only_the_uplink_is_on_the_hosts_network(example: Example) -> None:
    modes = {
        name: task["Config"]["network_mode"]
        for name, task in snippet.tasks(_render(example, CHANGED)).items()
    }
    assert modes.pop("tailscale") == "none"
    assert modes.pop(snippet.OUTSIDE) == "host"
    assert set(modes.values()) == {snippet.SEALED}


@EACH
def test_whoever_starts_beside_the_network_waits_for_it(example: Example) -> None:
    """Docker refuses to join a container that does not run, and Nomad takes that for the task's end."""
    tasks = snippet.tasks(_render(example, CHANGED))
    (announced,) = tasks["tailscale"]["Services"]
    assert (announced["Name"], announced["Provider"]) == ("sealed-network", "nomad")
    for name, task in tasks.items():
        joins = task["Config"]["network_mode"] == snippet.SEALED
        waits = [t for t in task["Templates"] or [] if 'nomadService "sealed-network"' in t["EmbeddedTmpl"]]
        assert len(waits) == (1 if joins and task["Lifecycle"] else 0), name


@EACH
def test_its_worker_is_nobody(example: Example) -> None:
    """The relay and the uplink's socket are for root alone."""
    tasks = snippet.tasks(_render(example, CHANGED))
    for name in {"worker", "web"} & tasks.keys():
        assert tasks[name]["User"] == "65534:65534"


def test_a_network_that_ends_ends_the_allocation() -> None:
    for example in SEALED:
        policy = snippet.tasks(_render(example, CHANGED))["tailscale"]["RestartPolicy"]
        assert (policy["Attempts"], policy["Mode"]) == (0, "fail")


def test_the_worker_asks_the_proxies_as_the_snippets_does() -> None:
    example, there = (_render(_of("sealed-egress-worker"), CHANGED), render(snippet.FILE, CHANGED))
    proxies = re.findall(r"^ *(\w+) +=", pieces_of(snippet.FILE)["5"], re.MULTILINE)
    here, wanted = (snippet.tasks(job)["worker"]["Env"] for job in (example, there))
    assert len(proxies) == 8
    assert {name: here[name] for name in proxies} == {name: wanted[name] for name in proxies}


def test_the_sealed_service_publishes_as_the_open_one() -> None:
    given = {**NAMED, "serve_scheme": "http", "tailscale_image": "example.com/tailscale:1"}
    sealed = snippet.tasks(_render(_of("sealed-private-service"), given))["serve"]
    open_ = snippet.tasks(
        render(
            Path("examples/private-http-service/private-http-service.nomad.hcl"),
            {name: value for name, value in given.items() if name != "uplink_allow"},
        )
    )["serve"]
    here, there = flat(sealed), flat(open_)
    assert {path for path in here.keys() | there.keys() if here.get(path) != there.get(path)} == {
        "Config.network_mode",
        "Env.SERVE",
    }


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("        attempts = 0\n", "        attempts = 3\n", "tailscale.RestartPolicy.Attempts"),
        ('        perms       = "0400"\n', "", "egress-guard.Templates.ts-authkey.Perms"),
        ("        UPLINK_ALLOW            = var.uplink_allow\n", "", "uplink.Env.UPLINK_ALLOW"),
        ('        network_mode = "none"\n', "", "tailscale.Config.network_mode"),
        ('      address  = "127.0.0.1"\n', "", "service.Address"),
    ],
)
def test_a_change_of_an_example_shows(tmp_path: Path, before: str, after: str, path: str) -> None:
    """How it looks when they do not agree."""
    text = _of("sealed-egress-worker").job_file.read_text(encoding="utf-8")
    assert text.count(before) == 1
    changed = tmp_path / "changed.nomad.hcl"
    changed.write_text(text.replace(before, after), encoding="utf-8")
    assert set(snippet.differences(render(changed, CHANGED), render(snippet.FILE, CHANGED))) == {path}


def test_the_pieces_are_all_that_a_job_needs(tmp_path: Path) -> None:
    """Pasted into a job of one task, as the README says, they make the same job."""
    piece = pieces_of(snippet.FILE)
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
        image = "example.com/own:1"
{piece["4"]}
      }}
      env {{
{piece["5"]}
      }}
    }}
  }}
}}
""",
        encoding="utf-8",
    )
    job = render(own, CHANGED)
    assert not snippet.differences(job, render(snippet.FILE, CHANGED))
    assert snippet.tasks(job)["own"]["Config"]["network_mode"] == snippet.SEALED


def test_the_snippet_is_formatted_and_valid() -> None:
    assert nomad("fmt", "-check", "-list", snippet.FILE).stdout == ""
    done = nomad("job", "validate", "-var=exit_node=exit-a", snippet.FILE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_names_every_piece() -> None:
    readme = (REPOSITORY / snippet.FILE.parent / "sealed.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| (\d) \|", readme, re.MULTILINE)) == set(pieces_of(snippet.FILE))
