"""The leak matrix: every verdict of a fault in its cell, with the figures that the judges' own words hold."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.claims import catalogue
from harness.claims.verdict import Outcome
from harness.faults.catalogue import FAULTS
from harness.ledger.episodes import under
from harness.ledger.facts import (
    EpisodeEnded,
    Fact,
    FaultSeen,
    FlowBookClosed,
    NameAsked,
    Phase,
    RequestSeen,
    RequestSent,
    RoundAsked,
    Way,
)
from harness.report.entries import ClaimEntry, to_entry
from harness.report.leaks import (
    MEANINGS,
    SYMBOLS,
    Leak,
    Standing,
    fault_of,
    is_of_fault,
    leak_matrix,
    leak_of,
)
from harness.report.record import Failure
from tests.claims.build import ECHO4, EXIT_A4, EXPECTATION, NODE4, NODE6, Story, flow

HELD = "Held: all 9 requests that arrived came from exit-a."
STOPPED = "Stopped: nothing was answered."


def entry(
    fault: str, verdict: Outcome = Outcome.PROVEN, reason: str = HELD, subject: str = "worker"
) -> ClaimEntry:
    return ClaimEntry(subject, f"egress.survives.{fault}", verdict, reason)


@pytest.mark.parametrize(
    ("verdict", "reason", "standing"),
    [
        (Outcome.PROVEN, HELD, Standing.HELD),
        (Outcome.PROVEN, STOPPED, Standing.STOPPED),
        (Outcome.UNPROVEN, "Not shown: the fault was not healed.", Standing.UNPROVEN),
        (
            Outcome.REFUTED,
            "Leaked: x; 2 requests arrived directly within 0.1 s, from a (b) 2.",
            Standing.LEAKED,
        ),
        (Outcome.REFUTED, "whatever it says", Standing.LEAKED),
    ],
)
def test_a_verdict_is_what_became_of_the_traffic(verdict: Outcome, reason: str, standing: Standing) -> None:
    (row,) = leak_matrix([entry("exit-deleted", verdict, reason)]).rows
    (cell,) = row.cells
    assert cell.standing is standing
    assert (cell.leak is not None) == (standing is Standing.LEAKED)
    assert cell.symbol == SYMBOLS[standing]


def test_every_standing_has_a_symbol_of_its_own_and_a_meaning() -> None:
    assert set(SYMBOLS) == set(MEANINGS) == set(Standing)
    assert len(set(SYMBOLS.values())) == len(SYMBOLS)


def test_only_faults_are_rows_and_examples_are_columns_by_name() -> None:
    found = leak_matrix(
        [
            entry("unheard-of", subject="b"),
            ClaimEntry("c", "egress.dns", Outcome.REFUTED, "no fault"),
            entry("tailscaled-killed", subject="a"),
            entry("exit-deleted", subject="b"),
        ]
    )
    assert found.subjects == ("a", "b")
    assert [row.fault for row in found.rows] == ["exit-deleted", "tailscaled-killed", "unheard-of"]
    assert found.rows[0].title == FAULTS["exit-deleted"].title
    assert found.rows[2].title == "unheard of"
    assert [[c.standing for c in row.cells] for row in found.rows] == [
        [Standing.NOT_RUN, Standing.HELD],
        [Standing.HELD, Standing.NOT_RUN],
        [Standing.NOT_RUN, Standing.HELD],
    ]


def test_what_cannot_befall_a_service_does_not_apply_to_it() -> None:
    found = leak_matrix(
        [
            entry("exit-deleted", subject="worker"),
            ClaimEntry("page", "serve.survives.tailscaled-killed", Outcome.PROVEN, "Held: so."),
        ]
    )
    assert [[c.standing for c in row.cells] for row in found.rows] == [
        [Standing.HELD, Standing.ABSENT],
        [Standing.NOT_RUN, Standing.HELD],
    ]
    assert found.headline == "Under faults: 2 held"


def failure(fault: str, subject: str = "worker") -> Failure:
    return Failure(subject, f"egress.survives.{fault}", "headscale does not answer")


def test_what_has_no_verdict_because_the_lab_failed_is_a_cell_of_its_own_kind() -> None:
    failed = [failure("exit-killed"), failure("exit-deleted", subject="another")]
    found = leak_matrix([entry("exit-deleted")], failed)
    assert found.subjects == ("another", "worker")
    assert [(r.fault, [c.standing for c in r.cells]) for r in found.rows] == [
        ("exit-killed", [Standing.NOT_RUN, Standing.FAILED]),
        ("exit-deleted", [Standing.FAILED, Standing.HELD]),
    ]
    assert [c.failure for c in found.cells if c.standing is Standing.FAILED] == [
        "headscale does not answer"
    ] * 2
    assert found.headline == "Under faults: 1 held, 2 lab errors"
    assert [c.standing for c in found.bad] == [Standing.FAILED] * 2


def test_a_run_whose_lab_never_came_up_still_has_every_cell_that_was_asked_for() -> None:
    found = leak_matrix([], [failure("exit-killed"), failure("dns-down")])
    assert [(r.fault, r.cells[0].standing) for r in found.rows] == [
        ("exit-killed", Standing.FAILED),
        ("dns-down", Standing.FAILED),
    ]
    assert found.headline == "Under faults: 2 lab errors"


def test_a_lab_that_failed_hides_no_leak_and_is_hidden_by_no_other_verdict() -> None:
    leak = entry("exit-deleted", Outcome.REFUTED, "Leaked: x.")
    assert [c.standing for c in leak_matrix([leak], [failure("exit-deleted")]).cells] == [Standing.LEAKED]
    for verdict in (Outcome.PROVEN, Outcome.UNPROVEN):
        found = leak_matrix([entry("exit-deleted", verdict)], [failure("exit-deleted")])
        assert [c.standing for c in found.cells] == [Standing.FAILED]


def test_a_run_that_came_to_no_fault_says_so() -> None:
    left = Failure("worker", "egress.survives.dns-down", "the run ended before it", reached=False)
    found = leak_matrix([], [left])
    assert [c.standing for c in found.cells] == [Standing.NOT_RUN]
    assert found.headline == "Under faults: no verdict"


def test_failures_of_other_claims_are_no_faults() -> None:
    assert leak_matrix([], [Failure("a", "egress.dns", "gone")]).rows == ()


def test_without_faults_there_is_no_row() -> None:
    assert leak_matrix([ClaimEntry("a", "egress.dns", Outcome.PROVEN, "")]).rows == ()
    assert leak_matrix([]).cells == ()


def test_of_two_verdicts_the_worse_stands_whichever_came_first() -> None:
    verdicts = [
        entry("exit-deleted"),
        entry("exit-deleted", Outcome.UNPROVEN, "Not shown."),
        entry("exit-deleted", Outcome.REFUTED, "Leaked: x."),
    ]
    for order in itertools.permutations(verdicts):
        assert [c.standing for c in leak_matrix(order).cells] == [Standing.LEAKED]
    for order in itertools.permutations(verdicts[:2]):
        assert [c.standing for c in leak_matrix(order).cells] == [Standing.UNPROVEN]


def test_a_service_and_a_worker_stand_in_one_row() -> None:
    found = leak_matrix(
        [entry("exit-deleted"), ClaimEntry("app", "serve.survives.exit-deleted", Outcome.PROVEN, STOPPED)]
    )
    (row,) = found.rows
    assert [(c.subject, c.standing) for c in row.cells] == [
        ("worker", Standing.HELD),
        ("app", Standing.STOPPED),
    ]


def test_the_headline_counts_and_the_bad_come_first() -> None:
    found = leak_matrix(
        [
            entry("exit-stopped"),
            entry("exit-killed", Outcome.UNPROVEN, "Not shown."),
            entry("exit-deleted", Outcome.REFUTED, "Leaked: x."),
            entry("dns-down", reason=STOPPED),
        ]
    )
    assert found.headline == "Under faults: 1 leaked, 1 held, 1 stopped, 1 unproven"
    assert [c.fault for c in found.bad] == ["exit-deleted", "exit-killed"]


def test_what_is_a_claim_about_a_fault() -> None:
    assert is_of_fault("egress.survives.exit-deleted")
    assert is_of_fault("serve.survives.dns-down")
    assert not is_of_fault("egress.address")
    assert fault_of("serve.survives.dns-down") == "dns-down"


# -- the figures, out of what the judges say

INJECTED, SHOWN, HEALED = 1001.0, 1001.5, 1004.5


def judged(fault: str, kind: str, *facts: Fact) -> ClaimEntry:
    told = (
        FaultSeen(fault, Phase.INJECTED, INJECTED, "exit-a was deleted; that is to say: gone (for good)"),
        FaultSeen(fault, Phase.SHOWN, SHOWN, "tailscaled has no exit node"),
        FaultSeen(fault, Phase.HEALED, HEALED, "exit-a is back"),
        FlowBookClosed(10, 10),
        EpisodeEnded(1000, 1007, "over"),
    )
    claim = catalogue.fault_claim(fault, "it went", kind)
    history = Story().add(under(fault), *told, *facts).history()
    return to_entry("worker", claim.id, catalogue.judge(claim, history, EXPECTATION), 1.0)


def seen(at: float, peer: str) -> RequestSeen:
    return RequestSeen("http", peer, 4000, ECHO4, f"drum-{at}", seen_at=at)


def sent(at: float) -> RequestSent:
    return RequestSent(f"drum-{at}", at, 0.01, NODE4, "")


def leaked(entry: ClaimEntry) -> Leak:
    assert entry.verdict is Outcome.REFUTED
    (cell,) = leak_matrix([entry]).cells
    assert cell.leak is not None
    return cell.leak


def test_the_figures_of_requests_that_arrived_directly() -> None:
    found = leaked(
        judged(
            "exit-deleted",
            "egress",
            *(sent(1000 + n / 25) for n in range(150)),
            seen(1000.5, EXIT_A4),
            *(seen(1001.3 + n / 10, NODE4) for n in range(20)),
            *(seen(1001.4 + n / 10, NODE6) for n in range(3)),
        )
    )
    assert (found.requests, found.seconds, found.first) == (23, 1.9, 0.3)
    assert found.senders == (f"node ({NODE4}, {NODE6})",)
    assert found.words == f"23 requests in 1.9 s from node ({NODE4}, {NODE6})"
    assert found.short == "23 requests in 1.9 s"


@given(st.integers(1, 3000), st.sampled_from([NODE4, NODE6, "192.0.2.9"]))
def test_however_many_there_are_they_are_counted(number: int, peer: str) -> None:
    found = leaked(judged("exit-deleted", "egress", *(seen(1001.2 + n / 1000, peer) for n in range(number))))
    assert found.requests == number
    assert peer in found.words


def test_a_sender_that_is_no_host_stands_for_itself() -> None:
    found = leaked(judged("exit-deleted", "egress", seen(1002, "192.0.2.9")))
    assert found.senders == ("192.0.2.9",)
    assert found.words == "1 request in 0.0 s from 192.0.2.9"


def test_packets_that_became_no_request() -> None:
    found = leaked(judged("exit-deleted", "egress", flow(ECHO4, "tcp", 443, packets=7)))
    assert (found.requests, found.packets) == (0, 7)
    assert found.words == found.short == "7 packets, no request"


def test_names_alone() -> None:
    found = leaked(judged("exit-deleted", "egress", NameAsked(NODE4, "api.ipify.org", "A")))
    assert found.words == "names alone"


def test_connections_of_who_may_not() -> None:
    def asked(by: str, at: float, *connected: str) -> RoundAsked:
        return RoundAsked(by, Way.TAILNET, at, at + 0.1, 4, connected, 1, 1)

    found = leaked(
        judged(
            "node-deleted",
            "serve",
            asked("client", 1000.5, "http://app/"),
            asked("stranger", 1002.0, "http://app/", "tcp app:22"),
            asked("stranger", 1003.0, "http://app/"),
            asked("outsider", 1003.0, "http://[2001:db8::1]:80/"),
        )
    )
    assert (found.connections, found.first) == (4, 1.0)
    assert found.words == "4 connections for stranger, outsider"
    assert found.short == "4 connections"


def test_a_reason_without_figures_is_no_error() -> None:
    assert leak_of("Leaked: something.").words == "names alone"
