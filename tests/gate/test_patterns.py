"""Patterns: an asterisk stands for one part between dots, an exclamation mark takes out."""

import pytest

from harness.claims.catalogue import CLAIMS
from harness.faults.catalogue import FAULTS
from harness.gate.patterns import chosen, covers, literal

CATALOGUE = [claim.id for claim in CLAIMS]
OF_FAULTS = [f"{kind}.survives.{name}" for name in FAULTS for kind in ("egress", "serve")]


def test_all_claims_of_the_catalogue_have_two_parts_and_those_of_faults_three() -> None:
    assert all(covers(claim, ["*.*"]) for claim in CATALOGUE)
    assert not any(covers(claim, ["*.*"]) for claim in OF_FAULTS)
    assert all(covers(claim, ["*.survives.*"]) for claim in OF_FAULTS)
    assert not any(covers(claim, ["*"]) for claim in (*CATALOGUE, *OF_FAULTS))


@pytest.mark.parametrize(
    ("claim", "patterns", "covered"),
    [
        ("egress.dns", ["egress.dns"], True),
        ("egress.dns", ["egress.*"], True),
        ("egress.dns", ["egress.*", "!egress.dns"], False),
        ("egress.dns", ["!egress.address"], False),
        ("egress.dns", ["*.d?s"], True),
        ("egress.dns", ["Egress.dns"], False),
        ("egress.survives.exit-deleted", ["egress.*"], False),
        ("egress.survives.exit-deleted", ["egress.survives.exit-*"], True),
        ("egress.dns", [], False),
        ("", ["*"], True),
    ],
)
def test_claims(claim: str, patterns: list[str], covered: bool) -> None:
    assert covers(claim, patterns) is covered


@pytest.mark.parametrize(
    ("name", "patterns", "taken"),
    [
        ("egress-worker", ["*"], True),
        ("egress-worker", ["*egress*"], True),
        ("my.job", ["*"], True),
        ("egress-worker", ["*", "!egress-*"], False),
        ("sealed-egress-worker", ["*", "!egress-*"], True),
        ("egress-worker", ["!private-*"], False),
        ("egress-worker", [], False),
    ],
)
def test_examples(name: str, patterns: list[str], taken: bool) -> None:
    assert chosen(name, patterns) is taken


def test_names_as_they_stand() -> None:
    assert literal(["a.b", "a.*", "!a.c", "a.?", "a.[bc]", "d"]) == ("a.b", "d")
