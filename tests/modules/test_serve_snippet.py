"""Each example that serves holds the snippet of modules/nomad, with no difference but the declared ones."""

import re
import tomllib
from pathlib import Path

import pytest

from harness.job import example as examples
from harness.job.example import Example
from tests.modules import serve_snippet as snippet
from tests.modules.job import Job, nomad, render
from tests.modules.sealed_snippet import is_sealed
from tests.modules.snippet import pieces_of, variables_of
from tests.toolkit.programs import REPOSITORY

pytestmark = pytest.mark.lab

SERVE = [
    found
    for found in examples.find(REPOSITORY / "examples")
    if found.smoke.kind == "serve" and not is_sealed(found)
]
DECLARED: dict[str, dict[str, str]] = tomllib.loads(
    (REPOSITORY / "modules/nomad/serve-differences.toml").read_text(encoding="utf-8")
)

# The names that each example has for itself.
NAMED = {"tailnet_name": "node", "secrets_path": "nomad/jobs/node"}
# What single examples want to be told besides.
MORE = {"tailnet_domain": "example.ts.net"}
# Each variable of the snippet, none at its default: so a task that does not use one differs.
CHANGED = {
    **NAMED,
    "login_server": "https://headscale.example.com",
    "tailscale_logs": "true",
    "serve_scheme": "http",
    "min_healthy_time": "3s",
    "check_interval": "7s",
    "tailscale_image": "example.com/tailscale:1",
    "health_image": "example.com/python:1",
}
SETTINGS = pytest.mark.parametrize("given", [NAMED, CHANGED], ids=["defaults", "every variable set"])
EACH = pytest.mark.parametrize("example", SERVE, ids=lambda example: example.name)


def _render(example: Example, given: dict[str, str]) -> Job:
    text = example.job_file.read_text(encoding="utf-8")
    # What is no HTTP has no serve_scheme; some must be given what the snippet does not know.
    known = {name: value for name, value in {**given, **MORE}.items() if f'variable "{name}"' in text}
    return render(example.job_file.relative_to(REPOSITORY), known)


@EACH
@SETTINGS
def test_an_example_agrees_with_the_snippet(example: Example, given: dict[str, str]) -> None:
    found = snippet.differences(_render(example, given), render(snippet.FILE, given))
    declared = DECLARED.get(example.name, {})
    undeclared = {path: pair for path, pair in found.items() if not any(_covers(d, path) for d in declared)}
    assert not undeclared, "mend the example, or declare it in modules/nomad/serve-differences.toml"
    if given is CHANGED:
        gone = [d for d in declared if not any(_covers(d, path) for path in found)]
        assert not gone, "declared in modules/nomad/serve-differences.toml, and there is no such difference"


def _covers(declared: str, path: str) -> bool:
    return f"{path}.".startswith(f"{declared}.")


@EACH
def test_what_is_served_is_looked_after(example: Example) -> None:
    """Nomad would call an allocation healthy whose backend nobody asks."""
    backends = snippet.backends(_render(example, NAMED))
    assert backends["group"]
    assert backends["group"] == backends["served"] == backends["looked after"]


def test_every_variable_of_the_snippet_is_put_to_the_test() -> None:
    assert set(CHANGED) == variables_of(snippet.FILE)


def test_a_declaration_is_of_an_example_and_gives_a_reason() -> None:
    assert set(DECLARED) <= {example.name for example in SERVE}
    assert all(reason.strip() for paths in DECLARED.values() for reason in paths.values())


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("      leader = true\n", "", "serve.Leader"),
        ('        perms       = "0400"\n', "", "serve.Templates.ts-authkey.Perms"),
        ("        TAILNET_NAME = var.tailnet_name\n", "", "serve.Env.TAILNET_NAME"),
        ('        HEALTH_OF               = "serve"\n', "", "health.Env.HEALTH_OF"),
        ('      address  = "127.0.0.1"\n', "", "service.Address"),
        ("      min_healthy_time = var.min_healthy_time\n", "", "update.MinHealthyTime"),
        ('      user = "65534:65534"\n', "", "backend.User"),
        ("scripts/tailscale/sidecar.sh", "env.template", "tailscale.Templates.sidecar.sh.EmbeddedTmpl"),
    ],
)
def test_a_change_of_an_example_shows(tmp_path: Path, before: str, after: str, path: str) -> None:
    """How it looks when they do not agree."""
    text = (REPOSITORY / "examples/private-http-service/private-http-service.nomad.hcl").read_text("utf-8")
    assert text.count(before) == 1
    changed = tmp_path / "changed.nomad.hcl"
    changed.write_text(text.replace(before, after), encoding="utf-8")
    found = snippet.differences(render(changed, CHANGED), render(snippet.FILE, CHANGED))
    assert set(found) == {path}


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
      user   = "65534:65534"
      config {{
        image        = "example.com/own:1"
        network_mode = "host"
      }}
    }}
  }}
}}
""",
        encoding="utf-8",
    )
    assert not snippet.differences(render(own, CHANGED), render(snippet.FILE, CHANGED))


def test_the_snippet_is_formatted_and_valid() -> None:
    assert nomad("fmt", "-check", "-list", snippet.FILE).stdout == ""
    done = nomad("job", "validate", snippet.FILE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_names_every_piece() -> None:
    readme = (REPOSITORY / snippet.FILE.parent / "README.md").read_text(encoding="utf-8")
    served = readme.partition("\n## A job that serves\n")[2]
    assert set(re.findall(r"^\| (\d) \|", served, re.MULTILINE)) == set(pieces_of(snippet.FILE))
