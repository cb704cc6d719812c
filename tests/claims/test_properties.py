"""What holds for any history, not only for those that somebody thought of."""

from ipaddress import ip_address
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.claims.catalogue import CLAIMS, Claim, judge
from harness.claims.secrets import EXPECTED_PLACE, REQUIRED_PLACES
from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.errors import LabError
from harness.ledger.episodes import ADDRESS_WRONG, AS_IT_STANDS, CONTROL, EXIT_ABSENT
from harness.ledger.facts import (
    CaptureClosed,
    Fact,
    FlowBookClosed,
    FlowSeen,
    LieTold,
    NameAsked,
    ObserverFailed,
    RequestSeen,
    SecretScan,
    TaskEventSeen,
)
from harness.ledger.ledger import History, Observation
from tests.claims.build import (
    CONTROL4,
    CONTROL6,
    ECHO4,
    ECHO6,
    EXIT_A4,
    EXIT_A6,
    EXIT_B4,
    EXIT_B6,
    EXPECTATION,
    LOGIN_SERVER,
    NODE4,
    NODE6,
    NODE_LAN,
    RESOLVER4,
    RESOLVER6,
    Story,
    good,
)

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
EVERY_CLAIM = pytest.mark.parametrize("made", CLAIMS, ids=lambda c: c.id)

PORTS = st.integers(0, 65535)
KNOWN = frozenset(a for host in EXPECTATION.hosts for a in host.addresses)
ADDRESSES = st.ip_addresses().map(str)
STRANGERS = (ADDRESSES | st.sampled_from([ECHO4, ECHO6])).filter(
    lambda a: a not in KNOWN or a in (ECHO4, ECHO6)
)
EXIT_ADDRESSES = st.sampled_from([EXIT_A4, EXIT_A6, EXIT_B4, EXIT_B6])
CONTROL_ADDRESSES = st.sampled_from([CONTROL4, CONTROL6])
RESOLVER_ADDRESSES = st.sampled_from([RESOLVER4, RESOLVER6])
TCP, UDP = st.just("tcp"), st.just("udp")
PROTOCOLS = st.sampled_from(["tcp", "udp", "icmp", "icmpv6", "47", "132"])
EPISODES = st.sampled_from([AS_IT_STANDS, CONTROL, EXIT_ABSENT, ADDRESS_WRONG])


def flows(
    destination: st.SearchStrategy[str],
    protocol: st.SearchStrategy[str],
    port: st.SearchStrategy[int],
    source: st.SearchStrategy[str] = ADDRESSES,
) -> st.SearchStrategy[FlowSeen]:
    return st.builds(
        FlowSeen,
        st.just("node"),
        source,
        destination,
        protocol,
        port,
        st.integers(1, 10**9),
        st.integers(0, 10**12),
    )


def is_discovery(flow: FlowSeen) -> bool:
    address = ip_address(flow.destination)
    return flow.protocol == "icmpv6" and (address.is_link_local or flow.destination.startswith("ff02:"))


FOREIGN_FLOWS = (
    flows(STRANGERS, PROTOCOLS, PORTS).filter(lambda f: not is_discovery(f))
    | flows(CONTROL_ADDRESSES, TCP, PORTS.filter(lambda p: p not in (80, 443)))
    | flows(CONTROL_ADDRESSES, UDP, PORTS.filter(lambda p: p != 3478))
    | flows(EXIT_ADDRESSES, st.sampled_from(["tcp", "47", "132"]), PORTS)
    | flows(RESOLVER_ADDRESSES, PROTOCOLS, PORTS.filter(lambda p: p != 53))
)
OWN = st.sampled_from([NODE4, NODE6, NODE_LAN])
ALLOWED_FLOWS = (
    flows(CONTROL_ADDRESSES, TCP, st.sampled_from([80, 443]), OWN)
    | flows(CONTROL_ADDRESSES, UDP, st.just(3478), OWN)
    | flows(CONTROL_ADDRESSES, st.sampled_from(["icmp", "icmpv6"]), PORTS, OWN)
    | flows(EXIT_ADDRESSES, UDP, PORTS.filter(lambda p: p not in (53, 853)), OWN)
    | flows(EXIT_ADDRESSES, st.sampled_from(["icmp", "icmpv6"]), PORTS, OWN)
    | flows(RESOLVER_ADDRESSES, TCP | UDP, st.just(53), OWN)
    | flows(st.sampled_from(["fe80::9", "ff02::2"]), st.just("icmpv6"), PORTS)
)

# Facts that mean something to the claims, so that arbitrary histories reach their depths too.
SOME_ADDRESS = st.sampled_from(sorted(KNOWN)) | ADDRESSES | st.text(max_size=3)
TASKS = st.sampled_from(["worker", "egress-guard", "tailscale", ""])
MEANINGFUL: st.SearchStrategy[Fact] = st.one_of(
    flows(SOME_ADDRESS, PROTOCOLS, PORTS | st.sampled_from([53, 443, 853]), SOME_ADDRESS),
    st.builds(RequestSeen, PROTOCOLS, SOME_ADDRESS, PORTS, SOME_ADDRESS, st.text(max_size=3)),
    st.builds(NameAsked, SOME_ADDRESS, st.sampled_from([LOGIN_SERVER, ".", "", "x.test"]), st.just("A")),
    st.builds(
        TaskEventSeen,
        st.just("a"),
        TASKS,
        st.sampled_from(["Started", "Terminated", ""]),
        st.just(""),
        st.none() | st.integers(-1, 2),
        st.just(1.0),
    ),
    st.builds(LieTold, SOME_ADDRESS, st.integers(-2, 2)),
    st.builds(
        SecretScan,
        st.sampled_from([*sorted(REQUIRED_PLACES), EXPECTED_PLACE, ""]),
        st.integers(-1, 3),
        st.tuples() | st.tuples(st.text(max_size=3)),
        st.just("m"),
        st.booleans(),
        st.booleans(),
    ),
)
ANY_FACT: st.SearchStrategy[Fact] = st.from_type(Fact)  # type: ignore[arg-type]
TOLD = st.lists(st.tuples(EPISODES, MEANINGFUL | ANY_FACT), max_size=12)
WITHOUT_TRUST: st.SearchStrategy[Fact] = st.one_of(
    st.builds(ObserverFailed, st.text(), st.text()),
    st.builds(CaptureClosed, st.text(), st.integers(0), st.integers(1), st.text()),
    st.builds(FlowBookClosed, st.integers(0, 9), st.integers(10, 19)),
)


def judged(made: Claim, story: Story, expectation: Expectation = EXPECTATION) -> Verdict | str:
    try:
        return judge(made, story.history(), expectation)
    except LabError as error:
        return error.problem


@FEW
@given(foreign=FOREIGN_FLOWS, at=st.integers(0, 20))
def test_one_foreign_flow_refutes(foreign: FlowSeen, at: int) -> None:
    told = list(good().told)
    told.insert(at, (AS_IT_STANDS, foreign))
    verdict = Story(tuple(told)).verdict("egress.no_direct_packets")
    assert verdict.outcome is Outcome.REFUTED
    assert [o.fact for o in verdict.evidence] == [foreign]


@FEW
@given(told=TOLD, foreign=FOREIGN_FLOWS)
def test_a_foreign_flow_is_never_proven_harmless(told: list[tuple[str, Fact]], foreign: FlowSeen) -> None:
    verdict = judged(
        next(c for c in CLAIMS if c.id == "egress.no_direct_packets"),
        Story((*good().told, *told)).add(AS_IT_STANDS, foreign),
    )
    assert isinstance(verdict, str) or verdict.outcome is Outcome.REFUTED


@FEW
@given(
    peer=ADDRESSES.filter(lambda a: a not in (EXIT_A4, EXIT_A6)) | st.text(),
    protocol=st.sampled_from(["http", "https", "tcp", "udp"]),
)
def test_one_request_from_elsewhere_refutes(peer: str, protocol: str) -> None:
    seen = RequestSeen(protocol, peer, 1, ECHO4, "")
    verdict = good().add(AS_IT_STANDS, seen).verdict("egress.address")
    assert verdict.outcome is Outcome.REFUTED
    assert "1 of 6" in verdict.reason


@FEW
@given(name=st.text().filter(lambda n: n.rstrip(".").lower() != LOGIN_SERVER))
def test_one_foreign_name_refutes(name: str) -> None:
    story = good().add(AS_IT_STANDS, NameAsked(NODE6, name, "A"))
    assert story.verdict("egress.dns").outcome is Outcome.REFUTED
    assert story.verdict("egress.no_direct_packets").outcome is Outcome.REFUTED


@FEW
@given(allowed=st.lists(ALLOWED_FLOWS, max_size=5), at=st.integers(0, 20))
def test_allowed_flows_change_no_proven_verdict(allowed: list[FlowSeen], at: int) -> None:
    told = list(good().told)
    told[at:at] = [(AS_IT_STANDS, f) for f in allowed]
    for made in CLAIMS:
        verdict = judge(made, Story(tuple(told)).history(), EXPECTATION)
        assert verdict.outcome is Outcome.PROVEN, verdict.reason


@EVERY_CLAIM
@FEW
@given(data=st.data(), told=TOLD, failed=WITHOUT_TRUST, base=st.booleans())
def test_a_broken_observer_is_an_error_whatever_else(
    made: Claim, data: st.DataObject, told: list[tuple[str, Fact]], failed: Fact, base: bool
) -> None:
    everything = [*(good().told if base else ()), *told]
    episode = data.draw(st.sampled_from(sorted(made.episodes)))
    everything.insert(data.draw(st.integers(0, len(everything))), (episode, failed))
    with pytest.raises(LabError):
        judge(made, Story(tuple(everything)).history(), EXPECTATION)


@EVERY_CLAIM
@FEW
@given(told=TOLD, base=st.booleans(), random=st.randoms(use_true_random=False))
def test_order_does_not_matter(made: Claim, told: list[tuple[str, Fact]], base: bool, random: Random) -> None:
    observations = list(Story((*(good().told if base else ()), *told)).history().observations)

    def outcome(order: list[Observation]) -> Verdict | str:
        try:
            return judge(made, History(tuple(order)), EXPECTATION)
        except LabError as error:
            return error.problem

    shuffled = random.sample(observations, len(observations))
    # By representation, for a NaN in a fact is not equal even to itself.
    assert repr(outcome(shuffled)) == repr(outcome(observations))


@EVERY_CLAIM
@FEW
@given(told=TOLD, base=st.booleans(), expectation=st.just(EXPECTATION) | st.from_type(Expectation))
def test_nothing_but_a_lab_error_is_ever_raised(
    made: Claim, told: list[tuple[str, Fact]], base: bool, expectation: Expectation
) -> None:
    story = Story((*(good().told if base else ()), *told))
    verdict = judged(made, story, expectation)
    if isinstance(verdict, Verdict):
        assert verdict.reason
        known = {id(o.fact) for o in story.history().observations}
        assert {id(o.fact) for o in verdict.evidence + verdict.controls} <= known
        if verdict.outcome is not Outcome.UNPROVEN:
            assert verdict.evidence
        if verdict.outcome is Outcome.PROVEN:
            assert verdict.controls


@EVERY_CLAIM
@FEW
@given(told=TOLD)
def test_no_claim_is_proven_without_the_good_run(made: Claim, told: list[tuple[str, Fact]]) -> None:
    verdict = judged(made, Story(tuple(told)))
    assert isinstance(verdict, str) or verdict.outcome is not Outcome.PROVEN


@EVERY_CLAIM
@FEW
@given(gone=st.sets(st.integers(0, len(good().told) - 1), min_size=1, max_size=6))
def test_leaving_facts_out_never_refutes(made: Claim, gone: set[int]) -> None:
    told = tuple(t for n, t in enumerate(good().told) if n not in gone)
    verdict = judged(made, Story(told))
    if isinstance(verdict, str):
        assert "never closed" in verdict
    elif verdict.outcome is Outcome.REFUTED:
        # One fact excuses others: who was there before the job.
        assert "still listed" in verdict.reason or "Expected" in verdict.reason
