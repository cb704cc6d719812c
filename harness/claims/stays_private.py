"""`serve.survives.<fault>`: whatever befalls a service, nobody reaches it who may not. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable

from harness.claims.befallen import Befallen, Fate, Stretch, Times, befallen
from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.claims.wording import count, listing
from harness.lab.topology import CLIENT, STRANGER
from harness.ledger.episodes import under
from harness.ledger.facts import RoundAsked
from harness.ledger.ledger import History, Observation

Asked = list[tuple[Observation, RoundAsked]]


def stays_private(fault: str) -> Callable[[History, Expectation], Verdict]:
    """Give the judge of one fault.

    It takes the history of the fault's episode and gives a verdict: refuted by any connection that somebody
    got who may not, a stranger in the tailnet or a host outside of it. Unproven when the fault was not shown
    to have happened, when the client was not answered before it, or when somebody who may not did not ask,
    before it, while it lasted or after it, or was not shown to reach a control by the same command before it.
    """

    def judge(history: History, expectation: Expectation) -> Verdict:
        return _judge(history.episode(under(fault)), expectation)

    return judge


def _judge(episode: History, expectation: Expectation) -> Verdict:
    fault = befallen(episode)
    rounds = [(o, r) for o, r in episode.of(RoundAsked) if r.by != CLIENT]
    client = [(o, r) for o, r in episode.of(RoundAsked) if r.by == CLIENT]
    controls = tuple(o for o, r in rounds if r.controls_connected)
    let_in = [(o, r) for o, r in rounds if r.connected]
    if let_in:
        return Verdict(
            Outcome.REFUTED,
            f"{Fate.LEAKED}: {fault.what}; {_who(let_in, fault.times)}.",
            fault.told + tuple(o for o, _ in let_in),
            controls,
        )
    evidence = fault.told + tuple(o for o, _ in rounds)
    missing = list(_missing(fault, rounds, client, expectation))
    if fault.times is None or missing:
        return Verdict(Outcome.UNPROVEN, f"Not shown: {listing(missing, '; ')}.", evidence, controls)
    times = fault.times
    before, during, after = (_answered(client, s) for s in (times.before, times.during, times.after))
    # One that was answered when all was over had waited for it.
    meanwhile = any(r.connected and times.shown <= r.began and r.ended < times.healed for _, r in client)
    fate = Fate.HELD if meanwhile else Fate.STOPPED
    asked = count(sum(r.asked for _, r in rounds), "time")
    hosts = listing(sorted({r.by for _, r in rounds}))
    return Verdict(
        Outcome.PROVEN,
        f"{fate}: {fault.what}; {hosts} asked {asked} and got no connection; {CLIENT} was answered "
        f"{_share(before)} before, {_share(during)} while it lasted, {_share(after)} after it.",
        evidence,
        controls + tuple(o for o, r in client if r.connected),
    )


def _answered(client: Asked, stretch: Stretch) -> tuple[int, int]:
    """How often the client was answered, of how often it asked."""
    asked = [r for _, r in client if stretch.holds(r.began)]
    return sum(1 for r in asked if r.connected), len(asked)


def _within(asked: RoundAsked, stretch: Stretch) -> bool:
    """Whether some of a round was within."""
    return asked.ended > stretch.begin and asked.began < stretch.end


def _share(answered: tuple[int, int]) -> str:
    return f"{answered[0]} of {count(answered[1], 'time')}"


def _who(let_in: Asked, times: Times | None) -> str:
    tally = Counter(f"{r.by} by {target}" for _, r in let_in for target in r.connected)
    first = min(r.began for _, r in let_in)
    when = f", the first {first - times.injected:.1f} s after it began" if times else ""
    return f"connections for who may not{when}: " + listing(f"{who} ({n})" for who, n in tally.most_common())


def _missing(fault: Befallen, rounds: Asked, client: Asked, expectation: Expectation) -> Iterable[str]:
    yield from fault.missing
    if fault.times is None:
        return
    times = fault.times
    for stretch in (times.before, times.during, times.after):
        for host in (STRANGER, *sorted(expectation.outside)):
            asked = [
                r for _, r in rounds if r.by == host and r.ended > stretch.begin and r.began < stretch.end
            ]
            if not any(r.asked for r in asked):
                yield f"{host} did not ask {stretch.name}"
            # While the node itself is cut off, nobody reaches even the control.
            elif stretch == times.before and not any(r.controls_connected for r in asked):
                yield f"{host} was not shown to reach a control {stretch.name}"
    if not _answered(client, times.before)[0]:
        yield f"{CLIENT} was not answered before it"
