"""A proposal is a smoke.toml that says what was read, and beside it what was assumed."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.job.example import EXAMPLES_KEY, AuthKeyPlace, ServePromise, Smoke, read_smoke
from harness.job.proposal import Proposal, propose
from harness.job.reading import Reading

EGRESS = Reading(job="mine", kind="egress", tasks=(), exits=("exit-a",), fallback=("exit-b",))
SERVE = Reading(job="mine", kind="serve", tasks=(), serve=(ServePromise(url="http://{host}/"),))
TAGS = ("tag:nomad-worker", "tag:nomad-service", "tag:crawler")


def proposed(
    reading: Reading, variables: Mapping[str, str] = {}, *, via: tuple[str, ...] = ("exit-a",)
) -> Proposal:
    return propose(
        reading,
        job_file="mine.nomad.hcl",
        via=via if reading.kind == "egress" else (),
        fallback=reading.fallback,
        variables=variables,
        var_files=(),
        tags=TAGS,
        lab_names=("echo.lab.test",),
    )


def smoke(proposal: Proposal, tmp_path: Path) -> Smoke:
    file = tmp_path / "smoke.toml"
    file.write_text(proposal.text, encoding="utf-8")
    return read_smoke(file)


def line(proposal: Proposal, word: str) -> str:
    """The line of the proposal that an assumption with this word in it points at."""
    (found,) = (a for a in proposal.assumed if word in a.what)
    return proposal.text.splitlines()[found.line - 1]


def test_what_leaves(tmp_path: Path) -> None:
    found = smoke(proposed(EGRESS, {"login_server": "{login_server}"}), tmp_path)
    assert found.kind == "egress"
    assert found.egress
    assert (found.egress.via, found.egress.fallback, found.egress.confined) == (
        ("exit-a",),
        ("exit-b",),
        False,
    )
    assert found.tags == ("tag:nomad-worker",)
    assert found.vars == {"login_server": "{login_server}"}
    assert found.auth_key == EXAMPLES_KEY


def test_what_serves(tmp_path: Path) -> None:
    found = smoke(proposed(replace(SERVE, tags=("tag:crawler",))), tmp_path)
    assert (found.kind, found.serve, found.tags) == ("serve", SERVE.serve, ("tag:crawler",))


def test_each_assumption_points_at_its_line() -> None:
    proposal = proposed(replace(EGRESS, asks=("api.example.com", "echo.lab.test"), tags=("tag:strange",)))
    assert line(proposal, "the exits that the job names").startswith("via = ")
    assert line(proposal, "speak to these names") == 'names = ["api.example.com"]'
    assert line(proposal, "tag:strange") == 'tags = ["tag:nomad-worker"]'
    assert line(proposed(SERVE), "what the page holds") == "status = 200"
    tcp = replace(SERVE, serve=(ServePromise(tcp="{host}:5432"),))
    assert line(proposed(tcp), "takes the connection") == 'tcp = "{host}:5432"'


def test_an_exit_that_the_lab_calls_otherwise() -> None:
    proposal = proposed(replace(EGRESS, exits=("fra-1",)))
    assert "fra-1 of the job is exit-a in the lab" in " ".join(a.what for a in proposal.assumed)


def test_secrets(tmp_path: Path) -> None:
    place = AuthKeyPlace("nomad/jobs/mine", "KEY")
    found = smoke(
        proposed(replace(EGRESS, auth_key=place, variables={"nomad/jobs/mine": ("TOKEN",)})), tmp_path
    )
    assert found.auth_key == place
    assert found.variables == {"nomad/jobs/mine": {"TOKEN": "made up"}}


@given(value=st.text(), path=st.text(min_size=1))
def test_any_text_comes_back_as_it_was(value: str, path: str) -> None:
    proposal = proposed(replace(EGRESS, variables={path: ("TOKEN",)}), {"v": value})
    data = tomllib.loads(proposal.text)
    assert data["vars"]["v"] == value
    assert data["variables"][path] == {"TOKEN": "made up"}
