"""Keys that make other nodes than the examples say, which no edit of an example can show."""

from pathlib import Path

import pytest

from tests.mutants.test_mutants import BY_ID, scenario
from tests.robustness.commands import Command
from tests.robustness.proof import claims

_TAGGED = "identity.tagged"
_SECONDS = 180


@pytest.mark.lab
def test_keys_that_are_not_ephemeral_or_carry_a_tag_too_many(tmp_path: Path) -> None:
    names = ("egress-worker", "private-http-service")
    scenarios = [scenario(BY_ID[_TAGGED], name) for name in names]
    argv = ("pytest", *scenarios, "-p", "no:cacheprovider", "-p", "tests.mutants.careless_keys")
    with Command(tmp_path / "run", argv) as run:
        assert run.wait(_SECONDS) == 1, run.output
        found = claims(run)
    lasting, too_many = (found[name, _TAGGED] for name in names)
    assert {lasting["verdict"], too_many["verdict"]} == {"refuted"}, run.output
    assert "not ephemeral" in lasting["reason"]
    assert "tag:nomad-worker" in too_many["reason"]
