"""The decision, on reports written by hand: whatever is taken from a sound run, the gate refuses it."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.claims.verdict import Outcome
from harness.gate.decide import Now, decide
from harness.gate.decision import Decision, Standing
from harness.gate.examples import Expected
from harness.gate.policy import Allow, Policy, Require, Site, age
from harness.gate.reports import Reports
from harness.report.entries import ClaimEntry
from tests.report import sample

COMMIT = "4c1f0e2" * 5
NOW = Now(sample.BEGAN + 600, COMMIT)
FILES = {"one.nomad.hcl": "a", "smoke.toml": "b"}
NAMES = ("one", "two", "three")
CLAIMS = ("egress.address", "egress.dns", "ports.none_public", "egress.survives.exit-deleted")
EXPECTED = tuple(Expected(name, CLAIMS, FILES) for name in NAMES)
KEYS = [(name, claim) for name in NAMES for claim in CLAIMS]
ALL = Policy(require=(Require(("*.*", "*.survives.*")),))
SEEN = {"number": 1, "role": "evidence", "of": 1}


def entry(name: str, claim: str, outcome: Outcome = Outcome.PROVEN) -> ClaimEntry:
    return ClaimEntry(name, claim, outcome, "As it was seen.", [SEEN])


def reports(*entries: ClaimEntry) -> Reports:
    record = replace(
        sample.record(),
        commit=COMMIT,
        entries=entries,
        sources=dict.fromkeys(NAMES, FILES),
        digests={"claims.json": "c", f"runs/{sample.record().run}/ledger.jsonl": "d"},
    )
    return Reports(Path("reports"), record, entries, sealed=True, files=dict.fromkeys(record.digests, ""))


def refused(decision: Decision) -> set[tuple[str, str]]:
    return {(r.about, r.name) for r in decision.of(Standing.REFUSED)}


SOUND = reports(*(entry(*key) for key in KEYS))


def test_a_sound_run_passes() -> None:
    decision = decide(ALL, SOUND, EXPECTED, NOW)
    assert decision.passed
    assert not decision.notes
    assert len(decision.requirements) == 3 + 3 + len(NAMES) + len(KEYS)


@given(st.sets(st.sampled_from(KEYS), min_size=1))
def test_whatever_verdict_is_missing_is_refused(missing: set[tuple[str, str]]) -> None:
    left = reports(*(entry(*key) for key in KEYS if key not in missing))
    assert refused(decide(ALL, left, EXPECTED, NOW)) == missing


@given(
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from([Outcome.REFUTED, Outcome.UNPROVEN]), min_size=1),
    st.booleans(),
)
def test_whatever_is_not_proven_is_refused_also_beside_a_better_verdict(
    worse: dict[tuple[str, str], Outcome], twice: bool
) -> None:
    entries = [entry(*key, outcome) for key, outcome in worse.items()]
    entries += [entry(*key) for key in KEYS if twice or key not in worse]
    assert refused(decide(ALL, reports(*entries), EXPECTED, NOW)) == set(worse)


@given(st.lists(st.builds(Require, *([st.lists(st.text("eg.*!", max_size=6)).map(tuple)] * 2)), max_size=3))
def test_no_policy_lets_a_refuted_claim_pass(rules: list[Require]) -> None:
    allow = Allow(("*.*", "*.*.*"), Site.LAB, "because")
    bad = reports(entry("one", "egress.dns", Outcome.REFUTED))
    decision = decide(Policy(require=tuple(rules), allow=(allow,)), bad, EXPECTED, NOW)
    assert ("one", "egress.dns") in refused(decision)


@given(st.integers(-(10**7), 10**7))
def test_a_run_is_too_old_or_of_the_future_or_neither(seconds: int) -> None:
    decision = decide(ALL, SOUND, EXPECTED, Now(sample.BEGAN + seconds, COMMIT))
    assert decision.passed is (-300 <= seconds <= 86400)


def test_nobody_has_its_files() -> None:
    expected = [replace(one, files=None) for one in EXPECTED]
    assert decide(ALL, SOUND, expected, NOW).passed
    expected = [replace(EXPECTED[0], problem="one.nomad.hcl: names a file that is not there"), *EXPECTED[1:]]
    assert refused(decide(ALL, SOUND, expected, NOW)) == {("one", "files")}


def test_an_age_in_words() -> None:
    assert [age(text).words for text in ("1m", "90m", "24h", "7d")] == [
        "1 minute",
        "90 minutes",
        "24 hours",
        "7 days",
    ]
    assert [age(text).seconds for text in ("1m", "24h", "7d")] == [60, 86400, 604800]
