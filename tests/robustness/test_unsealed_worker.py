"""A worker that promises to be confined, and is not, is refuted by every way out that there is."""

from typing import Any

import pytest

from tests.robustness.commands import Command
from tests.robustness.copies import Edit, copy
from tests.robustness.proof import claims

pytestmark = pytest.mark.lab

NAME, CONFINED = "unsealed", "egress.confined"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """One run of one that promises more than it keeps, beside one that promises nothing."""
    root = tmp_path_factory.mktemp("unsealed")
    copy(root, NAME, Edit("smoke.toml", "[egress]\n", "[egress]\nconfined = true\n"))
    copy(root, "silent")
    argv = ("pytest", "scenarios", "-p", "no:cacheprovider", "-k", "confined")
    with Command(root / "run", [*argv, "--examples", str(root / "examples")]) as run:
        run.wait(120)
        return run


def test_it_is_refuted_by_every_way_out(judged: Command) -> None:
    entry = claims(judged)[NAME, CONFINED]
    assert entry["verdict"] == "refuted", entry["reason"]
    assert "20 attempts got out" in entry["reason"]
    facts: list[dict[str, Any]] = [e["fact"] for e in entry["evidence"] if e["role"] == "evidence"]
    tokens = {f["token"] for f in facts if f["kind"] == "RequestSeen"}
    assert {t.split("-", 3)[3] for t in tokens} == {
        f"{way}-{family}{bound}"
        for way in ("http", "https", "tcp", "udp")
        for family in "46"
        for bound in ("", "-uplink")
    }
    assert sum(f["kind"] == "NameAsked" for f in facts) == 4
    assert any(f["kind"] == "FlowSeen" for f in facts)


def test_no_other_is_asked_for_what_it_does_not_promise(judged: Command) -> None:
    assert set(claims(judged)) == {(NAME, CONFINED)}
    assert judged.exit_code == 1, judged.output
