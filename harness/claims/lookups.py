"""`egress.dns`: the node's own resolver learns no name but the infrastructure's."""

from collections import Counter

from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.claims.wording import count, listing
from harness.ledger.episodes import AS_IT_STANDS, CONTROL
from harness.ledger.facts import FlowSeen, NameAsked, RequestSeen
from harness.ledger.ledger import History, Observation

DNS = 53
DNS_OVER_TLS = 853

Asked = list[tuple[Observation, NameAsked]]
Flows = list[tuple[Observation, FlowSeen]]


def node_flows(episode: History, expectation: Expectation) -> Flows:
    """Give the flows that came in by the node's wire, whatever source address they carried."""
    return [(o, f) for o, f in episode.of(FlowSeen) if f.wire == expectation.node.name]


def asked_by_node(episode: History, expectation: Expectation) -> Asked:
    """Give the look-ups from the node's addresses, and from any other that its wire carried to port 53."""
    clients = expectation.node.addresses | {
        f.source for _, f in node_flows(episode, expectation) if f.port == DNS
    }
    return [(o, n) for o, n in episode.of(NameAsked) if n.client in clients]


def foreign_names(asked: Asked, expectation: Expectation) -> Asked:
    """Give the look-ups for names that are not the infrastructure's."""
    known = {_plain(name) for name in expectation.infrastructure_names}
    return [(o, n) for o, n in asked if _plain(n.name) not in known]


def goes_to_resolver(flow: FlowSeen, expectation: Expectation) -> bool:
    """Whether a flow is a look-up that the resolver's query log shows."""
    return (
        flow.destination in expectation.resolver.addresses
        and flow.protocol in ("tcp", "udp")
        and flow.port == DNS
    )


def say_names(asked: Asked) -> str:
    """Name what was asked for, the most frequent first."""
    tally = Counter(f"'{n.name}'" for _, n in asked)
    return listing(
        f"{name} {count(number, 'time')}"
        for name, number in sorted(tally.items(), key=lambda item: (-item[1], item[0]))
    )


def _plain(name: str) -> str:
    # Resolvers may randomise case (DNS 0x20), and a name may be written with its final dot.
    return name.rstrip(".").lower()


def dns(history: History, expectation: Expectation) -> Verdict:
    """Judge which names the node's own resolver was asked for, and whether another one was spoken to.

    Args:
        history: episodes as-it-stands and control, flow books closed.
        expectation: the resolver, the node's addresses, and the infrastructure's names.

    Returns:
        Refuted by any other name, and by any packet to port 53 elsewhere or to port 853 anywhere: what is
        asked there is in no log. Unproven when the example sent nothing, or an observer was not shown to see.
    """
    episode, control = history.episode(AS_IT_STANDS), history.episode(CONTROL)
    node = expectation.node.name
    asked = asked_by_node(episode, expectation)
    flows = [
        (o, f)
        for o, f in node_flows(episode, expectation)
        if f.protocol in ("tcp", "udp") and f.port in (DNS, DNS_OVER_TLS)
    ]
    control_names = asked_by_node(control, expectation)
    control_flows = [(o, f) for o, f in node_flows(control, expectation) if f.port == DNS]
    controls = tuple(o for o, _ in control_names) + tuple(o for o, _ in control_flows)

    names = foreign_names(asked, expectation)
    elsewhere = [(o, f) for o, f in flows if not goes_to_resolver(f, expectation)]
    faults = []
    if names:
        faults.append(
            f"{node} asked its own resolver for names that are not the infrastructure's: {say_names(names)}"
        )
    if elsewhere:
        places = sorted(
            f"{f.packets} to {expectation.host_of(f.destination)} {f.protocol}/{f.port}" for _, f in elsewhere
        )
        faults.append(f"{node} sent DNS packets that no query log shows: {listing(places)}")
    if faults:
        evidence = tuple(o for o, _ in names) + tuple(o for o, _ in elsewhere)
        return Verdict(Outcome.REFUTED, "; ".join(faults) + ".", evidence, controls)

    evidence = tuple(o for o, _ in asked) + tuple(o for o, _ in flows)
    missing = []
    if flows and not asked:
        missing.append("packets reached the resolver, yet its query log shows none of them")
    if not episode.of(RequestSeen):
        missing.append("the example sent no request for which a name could have been asked")
    if not control_names:
        missing.append(f"the query log was never shown to see {node} ask")
    if not control_flows:
        missing.append(f"the flow book was never shown to see {node} speak to port {DNS}")
    if missing:
        return Verdict(Outcome.UNPROVEN, f"Not shown: {'; '.join(missing)}.", evidence, controls)
    return Verdict(
        Outcome.PROVEN,
        f"{node} asked its own resolver {count(len(asked), 'time')}, only for names of the infrastructure"
        + (f" ({say_names(asked)})" if asked else "")
        + f", and no other resolver; in the control {count(len(control_names), 'look-up')} of it showed.",
        evidence,
        controls,
    )
