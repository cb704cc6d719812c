"""What a person should look at first, when a claim is not proven: one or two sentences. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.claims.verdict import Outcome, Verdict
from harness.ledger.facts import PacketCaptured, Phase
from harness.report.fact_words import amount, clock, observation_row
from harness.report.fact_words import port as port_words
from harness.report.timeline import Kind, Timeline


def sentences(
    verdict: Verdict,
    timeline: Timeline | None,
    packets: Sequence[PacketCaptured],
    names: Mapping[str, str],
) -> tuple[str, ...]:
    """Say what, when and why, and where it is to be seen.

    Args:
        verdict: one that is not proven.
        timeline: of a fault's episode; None of any other.
        packets: what the capture let through.
        names: addresses to hosts.
    """
    if verdict.outcome is Outcome.PROVEN:
        return ()
    if timeline is None:
        return _without_timeline(verdict, packets, names)
    if timeline.direct:
        return _leaked(timeline)
    if verdict.outcome is Outcome.UNPROVEN:
        return ("Nothing may be concluded from this: what is missing stands in the reason above.",)
    return (f"{_packets(packets, names)} No request became of it: see the packets and the flows.".strip(),)


def _leaked(timeline: Timeline) -> tuple[str, ...]:
    lanes = [lane for lane in timeline.lanes if lane.kind is Kind.DIRECT and lane.at]
    who = "; ".join(
        f"{amount(len(lane.at), lane.noun)} by {lane.name}"
        + (f", from {' and '.join(lane.addresses)}" if lane.addresses else "")
        for lane in lanes
    )
    first, last = timeline.direct[0], timeline.direct[-1]
    said = [
        f"The red row of the requests over time: {who}; the first {first:.1f} s after the fault "
        "was injected, the last"
    ]
    if healed := timeline.mark(Phase.HEALED):
        after = last - healed.at
        said.append(f"{abs(after):.1f} s {'after' if after > 0 else 'before'} it was healed.")
    else:
        said.append(f"at {last:.1f} s; it was not healed.")
    steps = [f"{mark.phase} at {mark.at:.1f} s: {mark.what}" for mark in timeline.marks]
    return (" ".join(said), f"What happened: {'; '.join(steps)}.")


def _without_timeline(
    verdict: Verdict, packets: Sequence[PacketCaptured], names: Mapping[str, str]
) -> tuple[str, ...]:
    if verdict.outcome is Outcome.UNPROVEN:
        return ("Nothing may be concluded from this: what is missing stands in the reason above.",)
    said = [_packets(packets, names)] if packets else []
    if verdict.evidence:
        first = verdict.evidence[0]
        row = observation_row(first, names)
        said.insert(
            0,
            f"The first that speaks against it, seen by {row.observer}, written down at {clock(row.at)} UTC: "
            f"{row.what} (no. {row.number}).",
        )
    return tuple(said)


def _packets(packets: Sequence[PacketCaptured], names: Mapping[str, str]) -> str:
    """Where the most packets went that are neither control's nor an exit's; nothing where there are none."""
    if not packets:
        return ""
    ends = Counter(
        f"{names.get(p.source, p.source)} to {names.get(p.destination, p.destination)} "
        f"{port_words(p.protocol, p.port)}"
        for p in packets
    )
    most, number = ends.most_common(1)[0]
    began = min(p.captured_at for p in packets)
    return (
        f"Of {amount(len(packets), 'packet')} beside control, exits and DNS most ({number}) went from "
        f"{most}, the first of all at {clock(began)} UTC."
    )
