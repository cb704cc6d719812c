"""Names that are nobody else's, the mark, and a job that carries both."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.job.rendering import by_lifecycle
from harness.live import naming
from harness.live.naming import Mark
from harness.live.sweep import is_dead
from tests.live.build import example

RUN = "20261129-110000-abcd"
MARK = Mark(RUN, "ci-1-00000000", 2_000_000_000)
PATH = "nomad/jobs/notailcar/example/secrets"


def job(template: str) -> dict[str, Any]:
    task = {"Name": "worker", "Templates": [{"EmbeddedTmpl": template}, {"EmbeddedTmpl": None}]}
    return {
        "ID": "mine",
        "Name": "mine",
        "Meta": {"owner": "me"},
        "TaskGroups": [{"Name": "g", "Tasks": [task]}],
    }


def test_a_job_under_another_id() -> None:
    rendered = by_lifecycle(job('{{ with nomadVar "' + PATH + '" }}{{ .TS_AUTHKEY }}{{ end }}'))
    placed = naming.placed(rendered, example(), job="notailcar-x", mark=MARK)
    assert (placed.id, placed.job["Name"]) == ("notailcar-x", "mine")
    assert placed.job["Meta"] == {"owner": "me", **MARK.meta}
    (task,) = placed.job["TaskGroups"][0]["Tasks"]
    assert task["Templates"][0]["EmbeddedTmpl"] == (
        '{{ with nomadVar "nomad/jobs/notailcar-x" }}{{ .TS_AUTHKEY }}{{ end }}'
    )
    # What was rendered stays as it was: an example runs several times.
    assert rendered.id == "mine"
    assert PATH in rendered.job["TaskGroups"][0]["Tasks"][0]["Templates"][0]["EmbeddedTmpl"]


@pytest.mark.parametrize("template", ["", "no key here", f'{{{{ nomadVar "{PATH}/else" }}}}'])
def test_a_job_that_reads_no_key_is_refused(template: str) -> None:
    with pytest.raises(UsageError, match="no template of this job reads the Nomad Variable"):
        naming.placed(by_lifecycle(job(template)), example(), job="notailcar-x", mark=MARK)


@given(
    name=st.from_regex(r"[a-z][a-z0-9-]{0,60}[a-z0-9]", fullmatch=True),
    purpose=st.sampled_from(["", "run", "exit-absent", "address-wrong"]),
)
def test_a_name_in_the_tailnet_fits_with_what_jobs_add(name: str, purpose: str) -> None:
    found = naming.tailnet_name(RUN, name, purpose)
    assert len(found) + len("-12345678") <= 63
    assert not found.endswith("-")
    assert "--" not in found.removeprefix(name)


def test_episodes_have_names_of_their_own() -> None:
    names = {naming.tailnet_name(RUN, "egress-worker", p) for p in ("", "exit-absent", "address-wrong")}
    assert len(names) == 3
    assert naming.tailnet_name(RUN, "a", "") != naming.tailnet_name("20261129-110000-abce", "a", "")


def test_the_mark_comes_back_from_both_places() -> None:
    assert naming.mark_of({**MARK.meta, "owner": "me"}) == MARK
    assert naming.mark_of({**MARK.items, "TS_AUTHKEY": "key"}) == MARK


@pytest.mark.parametrize("found", [{}, {"notailcar.run": RUN}, {**MARK.meta, "notailcar.until": "soon"}])
def test_no_whole_mark_is_none(found: dict[str, str]) -> None:
    assert naming.mark_of(found) is None


@pytest.mark.parametrize(
    ("host", "alive", "now", "dead"),
    [
        ("here", True, 0.0, False),
        ("here", False, 0.0, True),
        ("here", True, 3e9, False),
        ("there", False, 0.0, False),
        ("there", True, 3e9, True),
    ],
)
def test_who_is_dead(host: str, alive: bool, now: float, dead: bool) -> None:
    mark = Mark(RUN, host, 2_000_000_000)
    assert is_dead(mark, here="here", now=now, alive=lambda _: alive) is dead
