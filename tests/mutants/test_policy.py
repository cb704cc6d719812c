"""A policy that lets strangers in, which no edit of an example can show: the whole tailnet has it."""

from pathlib import Path

import pytest

from harness.assembly import default_topology
from tests.mutants.test_mutants import BY_ID, scenario
from tests.robustness.commands import REPOSITORY, Command
from tests.robustness.copies import Edit
from tests.robustness.proof import claims

_SERVICE = "private-http-service"
_DENIED, _PRIVATE = "serve.denied_to_strangers", "serve.private"
_TOO_WIDE = Edit(
    "policy.json",
    """"src": ["group:platform"],
      "dst": ["tag:nomad-service""",
    """"src": ["group:platform", "guest@example.com"],
      "dst": ["tag:nomad-service""",
)
_SECONDS = 120


@pytest.mark.lab
def test_a_policy_that_lets_strangers_in(tmp_path: Path) -> None:
    policy = tmp_path / _TOO_WIDE.file
    policy.write_bytes((REPOSITORY / "acl" / "example-tailscale-acl.json").read_bytes())
    _TOO_WIDE.make(policy)
    topology = tmp_path / "wide.toml"
    topology.write_text(f'policy = "{policy.name}"\n{default_topology().read_text(encoding="utf-8")}')
    argv = [
        "pytest",
        *(scenario(BY_ID[claim], _SERVICE) for claim in (_DENIED, _PRIVATE)),
        "--topology",
        str(topology),
    ]
    with Command(tmp_path / "run", argv) as run:
        assert run.wait(_SECONDS) == 1, run.output
        found = claims(run)
    assert found[_SERVICE, _DENIED]["verdict"] == "refuted", run.output
    assert "stranger was let in" in found[_SERVICE, _DENIED]["reason"]
    assert found[_SERVICE, _PRIVATE]["verdict"] == "proven", run.output
