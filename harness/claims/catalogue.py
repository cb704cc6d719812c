"""The claims, by their ids: what each rests on, and which kind of example it is made of."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.claims import (
    confined,
    egress,
    fallback,
    guard,
    identity,
    lookups,
    packets,
    ports,
    registered,
    secrets,
    serve,
    stays_private,
    survives,
)
from harness.claims.trust import absent, require_trust
from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.job.example import Smoke
from harness.ledger.episodes import (
    ADDRESS_WRONG,
    AS_IT_STANDS,
    CONTROL,
    ESCAPE,
    ESCAPE_CONTROL,
    EXIT_ABSENT,
    EXIT_WITHDRAWN,
    PORTS,
    under,
)
from harness.ledger.ledger import History

EGRESS = frozenset({"egress"})
SERVE = frozenset({"serve"})
EVERY_KIND = EGRESS | SERVE


def _always(_: Smoke) -> str:
    return ""


def _no_fallback(smoke: Smoke) -> str:
    return "" if smoke.egress and smoke.egress.fallback else "not offered: smoke.toml names no fallback"


def _not_confined(smoke: Smoke) -> str:
    return "" if smoke.egress and smoke.egress.confined else "not offered: smoke.toml says confined = false"


@dataclass(frozen=True)
class Claim:
    """One sentence about an example that a history can prove or refute."""

    id: str
    """The contract's id, as it stands in reports/claims.json."""
    title: str
    kinds: frozenset[str]
    """The kinds of examples that it is made of: egress, serve."""
    episodes: frozenset[str]
    """The episodes that it rests on."""
    story: str
    """Its group in the report."""
    judge: Callable[[History, Expectation], Verdict]
    """The bare judgement; `catalogue.judge` first asks whether the observers can be believed."""
    books: frozenset[str] = frozenset()
    """The episodes whose flow book it reads."""
    absent: Callable[[Smoke], str] = _always
    """Why it is not made of an example of its kinds, by what that one promises; empty where it is made."""

    def absence(self, smoke: Smoke) -> str:
        """Why it is not made of an example; empty where it is made."""
        if smoke.kind not in self.kinds:
            return f"the example is of kind {smoke.kind}"
        return self.absent(smoke)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="egress.address",
        title="Traffic leaves by the allowed exits and no other address",
        kinds=EGRESS,
        episodes=frozenset({AS_IT_STANDS, CONTROL}),
        story="Where traffic leaves",
        judge=egress.address,
    ),
    Claim(
        id="egress.no_direct_packets",
        title="The node speaks to control, exits and resolver, and nothing else",
        kinds=EGRESS,
        episodes=frozenset({AS_IT_STANDS, CONTROL}),
        story="Where traffic leaves",
        judge=packets.no_direct_packets,
        books=frozenset({AS_IT_STANDS, CONTROL}),
    ),
    Claim(
        id="egress.dns",
        title="The node's own resolver learns no name of the traffic",
        kinds=EGRESS,
        episodes=frozenset({AS_IT_STANDS, CONTROL}),
        story="Where traffic leaves",
        judge=lookups.dns,
        books=frozenset({AS_IT_STANDS, CONTROL}),
    ),
    Claim(
        id="egress.guard_holds",
        title="No worker starts while its exit is absent or wrong",
        kinds=EGRESS,
        episodes=frozenset({AS_IT_STANDS, EXIT_ABSENT, ADDRESS_WRONG}),
        story="When the exit is not there",
        judge=guard.guard_holds,
    ),
    Claim(
        id="egress.fallback",
        title="With the first exit gone, a fallback carries all traffic",
        kinds=EGRESS,
        episodes=frozenset({AS_IT_STANDS, EXIT_WITHDRAWN, CONTROL}),
        story="When the exit is not there",
        judge=fallback.fallback,
        books=frozenset({EXIT_WITHDRAWN}),
        absent=_no_fallback,
    ),
    Claim(
        id="egress.confined",
        title="Even a process that ignores its proxies cannot get out",
        kinds=EGRESS,
        episodes=frozenset({ESCAPE, ESCAPE_CONTROL}),
        story="Where traffic leaves",
        judge=confined.confined,
        books=frozenset({ESCAPE, ESCAPE_CONTROL}),
        absent=_not_confined,
    ),
    Claim(
        id="serve.reachable",
        title="Who may is answered as promised, by full and short name",
        kinds=SERVE,
        episodes=frozenset({AS_IT_STANDS}),
        story="Who is let in",
        judge=registered.reachable,
    ),
    Claim(
        id="serve.denied_to_strangers",
        title="A member of the tailnet that may not gets no connection",
        kinds=SERVE,
        episodes=frozenset({AS_IT_STANDS}),
        story="Who is let in",
        judge=serve.denied_to_strangers,
    ),
    Claim(
        id="serve.private",
        title="Nobody outside of the tailnet gets a connection",
        kinds=SERVE,
        episodes=frozenset({AS_IT_STANDS}),
        story="Who is let in",
        judge=registered.private,
    ),
    Claim(
        id="ports.none_public",
        title="What the job opens is reached through the tailnet alone",
        kinds=EVERY_KIND,
        episodes=frozenset({PORTS}),
        story="Open ports",
        judge=ports.none_public,
    ),
    Claim(
        id="identity.tagged",
        title="What joins the tailnet is ephemeral and carries exactly its tags",
        kinds=EVERY_KIND,
        episodes=frozenset({AS_IT_STANDS}),
        story="Identity in the tailnet",
        judge=identity.tagged,
    ),
    Claim(
        id="identity.removed_after_stop",
        title="What joined the tailnet is gone after the job's stop",
        kinds=EVERY_KIND,
        episodes=frozenset({AS_IT_STANDS}),
        story="Identity in the tailnet",
        judge=identity.removed_after_stop,
    ),
    Claim(
        id="secrets.not_exposed",
        title="The auth key is in its Nomad variable and nowhere else",
        kinds=EVERY_KIND,
        episodes=frozenset({AS_IT_STANDS}),
        story="Secrets",
        judge=secrets.not_exposed,
    ),
)


SURVIVES = ".survives"
"""Ends the part of a claim's id before the fault's name."""


def fault_claim(fault: str, title: str, kind: str = "egress") -> Claim:
    """The claim that a job survives a fault.

    Args:
        fault: its name.
        title: what happens, as a sentence about the past.
        kind: the kind of example that it befalls: egress or serve.
    """
    episode = frozenset({under(fault)})
    if kind == "serve":
        return Claim(
            id=f"serve{SURVIVES}.{fault}",
            title=f"What is served stays private when {title}",
            kinds=SERVE,
            episodes=episode,
            story="When something goes wrong",
            judge=stays_private.stays_private(fault),
        )
    return Claim(
        id=f"egress{SURVIVES}.{fault}",
        title=f"Nothing leaves but by its exits when {title}",
        kinds=EGRESS,
        episodes=episode,
        story="When something goes wrong",
        judge=survives.survives(fault),
        books=episode,
    )


def claims_for(kind: str) -> tuple[Claim, ...]:
    """Give the claims made of a kind of example, in the catalogue's order.

    Raises:
        ValueError: for a kind of which no claim is made, lest an example pass with no claim at all.
    """
    found = tuple(claim for claim in CLAIMS if kind in claim.kinds)
    if not found:
        raise ValueError(f"no claim is made of examples of kind {kind!r}")
    return found


def judge(claim: Claim, history: History, expectation: Expectation) -> Verdict:
    """Judge one claim from what was observed; pure, and independent of the order of the observations.

    Args:
        claim: one of the catalogue.
        history: the observations of one subject; other episodes than the claim's are not looked at.
        expectation: what the example promises, and where things are.

    Returns:
        The verdict. While a needed episode has not ended a claim can be refuted, by what was seen so far, but
        never proven.

    Raises:
        LabError: when an observer of a needed episode failed, dropped, miscounted or was never closed.
    """
    ordered = History(tuple(sorted(history.observations, key=lambda o: o.number)))
    needed = ordered.episode(*claim.episodes)
    require_trust(needed, claim.episodes, claim.books)
    verdict = claim.judge(needed, expectation)
    lacking = absent(needed, claim.episodes)
    if lacking and verdict.outcome is not Outcome.REFUTED:
        return Verdict(
            Outcome.UNPROVEN,
            f"Not observed to its end: episode {', '.join(lacking)}.",
            verdict.evidence,
            verdict.controls,
        )
    return verdict
