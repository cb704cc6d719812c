"""secrets.not_exposed: where the auth key was found."""

import pytest

from harness.claims.secrets import EXPECTED_PLACE, REQUIRED_PLACES
from harness.claims.verdict import Outcome
from harness.ledger.episodes import AS_IT_STANDS, EXIT_ABSENT
from harness.ledger.facts import SecretScan
from tests.claims.build import facts, good, scan

CLAIM = "secrets.not_exposed"
EVERY_PLACE = pytest.mark.parametrize("place", sorted(REQUIRED_PLACES))


def test_proven_counts_what_was_searched() -> None:
    verdict = good().verdict(CLAIM)
    assert verdict.outcome is Outcome.PROVEN
    assert "none of 9 places searched (45 items" in verdict.reason
    assert facts(verdict.controls) == [scan(EXPECTED_PLACE, "TS_AUTHKEY", expected=True)]


@pytest.mark.parametrize("place", [*sorted(REQUIRED_PLACES), "anywhere else", EXPECTED_PLACE])
def test_refuted_names_the_place(place: str) -> None:
    found = scan(place, "line 3: tskey-***", "line 9: tskey-***")
    verdict = good().add(AS_IT_STANDS, found).verdict(CLAIM)
    assert verdict.outcome is Outcome.REFUTED
    assert f"{place} (2 hits)" in verdict.reason
    assert "tskey" not in verdict.reason
    assert facts(verdict.evidence) == [found]


def test_a_hit_counts_even_where_the_search_was_half_blind() -> None:
    story = good().add(AS_IT_STANDS, scan("task logs", "line 1", marker=False, items=0))
    assert story.verdict(CLAIM).outcome is Outcome.REFUTED


@EVERY_PLACE
@pytest.mark.parametrize(
    "instead",
    [lambda _: (), lambda p: (scan(p.upper()),), lambda p: (scan(p, "x", expected=True),)],
    ids=["nothing", "another", "as expected"],
)
def test_unproven_when_a_place_was_not_searched(place: str, instead: object) -> None:
    assert callable(instead)
    story = good().drop(SecretScan, where=lambda s: s.place == place).add(AS_IT_STANDS, *instead(place))
    verdict = story.verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert f"{place} not searched" in verdict.reason


@pytest.mark.parametrize("blind", [{"marker": False}, {"items": 0}], ids=str)
@pytest.mark.parametrize("place", [*sorted(REQUIRED_PLACES), "anywhere else"])
def test_unproven_when_a_search_was_blind(place: str, blind: dict[str, int]) -> None:
    verdict = good().add(AS_IT_STANDS, scan(place, **blind)).verdict(CLAIM)  # type: ignore[arg-type]
    assert verdict.outcome is Outcome.UNPROVEN
    assert f"blind in {place}" in verdict.reason


@pytest.mark.parametrize(
    ("control", "says"),
    [
        ((), "not searched as the control"),
        ((scan(EXPECTED_PLACE),), "not searched as the control"),
        ((scan(EXPECTED_PLACE, expected=True),), "not found in nomad variable, where it is"),
        ((scan("elsewhere", "x", expected=True),), "not searched as the control"),
    ],
)
def test_unproven_when_the_search_was_not_shown_to_find(control: tuple[SecretScan, ...], says: str) -> None:
    story = good().drop(SecretScan, where=lambda s: s.expected).add(AS_IT_STANDS, *control)
    verdict = story.verdict(CLAIM)
    assert verdict.outcome is Outcome.UNPROVEN
    assert says in verdict.reason


def test_other_episodes_are_not_this_claims() -> None:
    story = good().add(EXIT_ABSENT, scan("task logs", "x"))
    assert story.verdict(CLAIM).outcome is Outcome.PROVEN


def test_a_search_of_one_item_is_a_search() -> None:
    assert good().add(AS_IT_STANDS, scan("task logs", items=1)).verdict(CLAIM).outcome is Outcome.PROVEN
