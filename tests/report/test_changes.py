"""What changed since the last green run: by what both runs judged, and the rest said apart."""

from hypothesis import given
from hypothesis import strategies as st

from harness.report.changes import changes, usual_seconds, words
from harness.report.history import Past
from tests.report.past import P, R, U, Verdicts, past, verdicts

DNS = ("worker", "egress.dns")


def test_without_a_green_run_there_is_nothing_to_say() -> None:
    assert changes(past(1), ()) is None
    assert changes(past(2), (past(1, verdicts(worker_dns=R)),)) is None
    assert changes(past(2), (past(1, unfinished=True),)) is None
    assert changes(past(2), (past(1, site="live"),)) is None
    assert changes(past(2), (past(2),)) is None


def test_nothing_changed() -> None:
    found = changes(past(2), (past(1),))
    assert found is not None
    assert (found.since.run, found.differs) == ("run-1", False)


def test_newly_refuted_and_unproven() -> None:
    found = changes(past(3, verdicts(worker_dns=R, site_private=U)), (past(1), past(2)))
    assert found is not None
    assert found.since.run == "run-2"
    assert found.lost == {DNS: R, ("site", "serve.private"): U}
    assert (found.regained, found.new, found.absent) == ((), (), ())


def test_still_refuted_is_since_the_last_green_run() -> None:
    bad = verdicts(worker_dns=R)
    found = changes(past(3, bad), (past(1), past(2, bad)))
    assert found is not None
    assert (found.since.run, set(found.lost)) == ("run-1", {DNS})


def test_newly_proven() -> None:
    found = changes(past(3), (past(1), past(2, verdicts(worker_dns=R))))
    assert found is not None
    assert (found.regained, found.lost) == ((DNS,), {})


def test_new_and_missing_claims() -> None:
    found = changes(past(2), (past(1, verdicts(worker_dns=None)),))
    assert found is not None
    assert (found.new, found.absent) == ((DNS,), ())
    found = changes(past(2, verdicts(worker_dns=None)), (past(1),))
    assert found is not None
    assert (found.new, found.absent) == ((), (DNS,))


def test_a_selection_is_compared_by_what_it_has() -> None:
    some: Verdicts = {"worker": verdicts()["worker"]}
    found = changes(past(3, some), (past(1), past(2)))
    assert found is not None
    assert (found.lost, found.new) == ({}, ())
    assert {subject for subject, _ in found.absent} == {"site"}


def test_a_whole_run_is_compared_with_a_whole_one_though_a_selection_came_between() -> None:
    some: Verdicts = {"worker": verdicts()["worker"]}
    found = changes(past(3), (past(1), past(2, some)))
    assert found is not None
    assert (found.since.run, found.differs) == ("run-1", False)
    # And a selection with the last one of it.
    found = changes(past(3, some), (past(1), past(2, some)))
    assert found is not None
    assert (found.since.run, found.differs) == ("run-2", False)


def test_a_stage_that_takes_much_longer_than_usual() -> None:
    usual = [past(n, stages={"a": 2.0 + n / 10, "b": 0.1, "c": 30.0}) for n in range(5)]
    now = past(9, stages={"a": 9.0, "b": 0.9, "c": 45.0, "d": 99.0})
    found = changes(now, usual)
    assert found is not None
    (slow,) = found.slower
    assert (slow.stage, slow.usual, round(slow.ratio, 1)) == ("a", 2.2, 4.1)
    assert found.differs


def test_times_of_other_numbers_of_workers_are_not_compared() -> None:
    now = past(9, stages={"a": 9.0}, workers=2)
    found = changes(now, [past(1, stages={"a": 1.0}, workers=1)])
    assert found is not None
    assert not found.slower
    assert usual_seconds("a", 1, [past(1, stages={"a": 1.0})]) == 1.0


KINDS = st.sampled_from([P, R, U, None])
RUNS = st.builds(
    lambda number, dns, private, unfinished: past(
        number, verdicts(worker_dns=dns, site_private=private), unfinished=unfinished
    ),
    st.integers(0, 50),
    KINDS,
    KINDS,
    st.booleans(),
)


@given(RUNS, st.lists(RUNS, max_size=8))
def test_what_is_said_of_any_history_is_true(now: Past, earlier: list[Past]) -> None:
    found = changes(now, earlier)
    judged = now.judged
    if found is None:
        assert not any(p.green and p.run != now.run and p.judged.keys() & judged.keys() for p in earlier)
        return
    then = found.since.judged
    assert found.since.green
    assert all(judged[key] is outcome is not P and then[key] is P for key, outcome in found.lost.items())
    assert all(key not in judged and key in then for key in found.absent)
    assert all(judged[key] is P for key in found.regained)
    assert all(judged.get(key) is not None and key not in then for key in found.new)


def test_claims_in_short() -> None:
    assert words([DNS, ("worker", "egress.address"), ("site", "x.y")]) == (
        "worker: egress.dns, egress.address; site: x.y"
    )
    many = [(f"e{n}", f"c.{m}") for n in range(6) for m in range(3)]
    assert words(many) == "18 claims of e0, e1, e2, e3 and 2 more"
    assert words(many[:6]) == "6 claims of e0, e1"
