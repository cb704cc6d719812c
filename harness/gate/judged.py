"""What is asked of examples: each claim of the policy proven, of the files that are there now. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.claims.catalogue import CLAIMS, SURVIVES
from harness.claims.verdict import Outcome
from harness.faults.catalogue import FAULTS
from harness.gate.decision import Requirement, Standing, held
from harness.gate.examples import Expected
from harness.gate.patterns import chosen, covers, literal
from harness.gate.policy import Allow, Policy, Require
from harness.report.entries import ClaimEntry

_BADNESS = {Outcome.PROVEN: 0, Outcome.UNPROVEN: 1, Outcome.REFUTED: 2}
_CATALOGUED = frozenset(c.id for c in CLAIMS) | {
    f"{kind}{SURVIVES}.{name}" for name, fault in FAULTS.items() for kind in fault.kinds
}
_SHOWN = 5
NOT_IN_RUN = "the example is not in this run"
_Found = Mapping[str, Mapping[str, ClaimEntry]]


@dataclass(frozen=True)
class Run:
    """What a run says of its examples."""

    site: str
    claims: tuple[ClaimEntry, ...]
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By example, the SHA-256 of each of its files as the run began."""
    astray: Mapping[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    """By example and claim, the quoted observations that the ledger does not have so."""


def requirements(policy: Policy, run: Run, expected: Sequence[Expected]) -> tuple[Requirement, ...]:
    """What the policy asks of the expected examples, and what became of each in a run.

    A refuted claim is refused also where no rule names it, and so is a rule that asks for nothing.
    """
    found = _worst(run.claims)
    wanted = {one.name: _wanted(policy.require, one, found.get(one.name, {})) for one in expected}
    asked = [*_rules(policy, expected, found)]
    for one in (e for e in expected if wanted[e.name]):
        asked += _sources(one, run.sources.get(one.name), there=one.name in found)
        asked += [_claim(policy, run, one.name, claim, found.get(one.name, {})) for claim in wanted[one.name]]
    asked += [
        Requirement(
            entry.subject, entry.claim, Standing.REFUSED, f"refuted, though no rule asks: {entry.reason}"
        )
        for entries in found.values()
        for entry in entries.values()
        if entry.verdict is Outcome.REFUTED and entry.claim not in wanted.get(entry.subject, ())
    ]
    return tuple(asked)


def notes(policy: Policy, run: Run, expected: Sequence[Expected]) -> tuple[str, ...]:
    """What nothing is asked of, so that nobody takes it for proven."""
    found = _worst(run.claims)
    wanted = {one.name: _wanted(policy.require, one, found.get(one.name, {})) for one in expected}
    beside = [
        f"{entry.subject}, {entry.claim}"
        for entries in found.values()
        for entry in entries.values()
        if entry.verdict is Outcome.UNPROVEN and entry.claim not in wanted.get(entry.subject, ())
    ]
    unasked = [name for name, claims in wanted.items() if not claims]
    strange = [name for name in found if name not in wanted]
    return tuple(
        f"{said}: {', '.join(names)}"
        for said, names in (
            ("unproven, and no rule asks for it", beside),
            ("no rule asks anything of", unasked),
            ("in the run, and in no folder that the policy names", strange),
        )
        if names
    )


def _worst(claims: Iterable[ClaimEntry]) -> dict[str, dict[str, ClaimEntry]]:
    """By example and claim; of two verdicts on one claim the worse counts."""
    found: dict[str, dict[str, ClaimEntry]] = {}
    for entry in claims:
        known = found.setdefault(entry.subject, {})
        if entry.claim not in known or _BADNESS[entry.verdict] > _BADNESS[known[entry.claim].verdict]:
            known[entry.claim] = entry
    return found


def _wanted(rules: Iterable[Require], one: Expected, found: Mapping[str, ClaimEntry]) -> tuple[str, ...]:
    """The claims that must be proven of an example."""
    mine = [rule.claims for rule in rules if chosen(one.name, rule.examples)]
    return tuple(dict.fromkeys(claim for patterns in mine for claim in _covered(patterns, one, found)))


def _covered(patterns: Sequence[str], one: Expected, found: Mapping[str, ClaimEntry]) -> Iterator[str]:
    known = dict.fromkeys((*one.claims, *found))
    yield from (claim for claim in known if covers(claim, patterns))
    # A claim of somebody's own scenario is in no catalogue: where it is missing, only its name tells of it.
    yield from (claim for claim in literal(patterns) if claim not in _CATALOGUED and claim not in known)


def _rules(policy: Policy, expected: Sequence[Expected], found: _Found) -> Iterator[Requirement]:
    for number, rule in enumerate(policy.require, 1):
        if not any(_wanted((rule,), one, found.get(one.name, {})) for one in expected):
            words = f"{', '.join(rule.claims) or 'no claim'} of {', '.join(rule.examples) or 'no example'}"
            why = f"{words}: there is no such claim of any example, so it asks for nothing"
            yield Requirement("policy", f"[[require]] {number}", Standing.REFUSED, why)
    if not policy.require or not expected:
        why = "there is no example" if policy.require else "it has no [[require]]"
        yield Requirement("policy", "require", Standing.REFUSED, f"{why}, so nothing is asked for")


def _sources(one: Expected, ran: Mapping[str, str] | None, *, there: bool) -> Iterator[Requirement]:
    """That the files of an example are those that were run; nothing where it was not, or nobody has them."""
    if one.files is None or not there:
        return
    problem = one.problem
    if not problem and not ran:
        problem = "the run does not say which files it ran"
    elif not problem and ran is not None:
        edited = [name for name in {**ran, **one.files} if ran.get(name) != one.files.get(name)]
        problem = f"edited since the run: {', '.join(edited)}" if edited else ""
    yield held(one.name, "files", problem, f"its {len(one.files)} files are those that were run")


def _claim(
    policy: Policy, run: Run, subject: str, claim: str, found: Mapping[str, ClaimEntry]
) -> Requirement:
    entry = found.get(claim)
    if entry is None:
        why = "this run has no verdict on it" if found else NOT_IN_RUN
        return Requirement(subject, claim, Standing.REFUSED, why)
    if astray := run.astray.get((subject, claim)):
        numbers = ", ".join(map(str, astray[:_SHOWN])) + ("" if len(astray) <= _SHOWN else ", ...")
        why = f"{entry.verdict}, by observations that the run's ledger does not have so: {numbers}"
        return Requirement(subject, claim, Standing.REFUSED, why)
    if entry.verdict is Outcome.PROVEN:
        problem = "" if entry.evidence else "proven by no observation at all"
        return held(subject, claim, problem, entry.reason)
    if entry.verdict is Outcome.UNPROVEN and (rule := _allowed(policy.allow, run.site, subject, claim)):
        why = f"unproven, which the policy allows at site {run.site}: {rule.reason}"
        return Requirement(subject, claim, Standing.ALLOWED, f"{why} ({entry.reason})")
    return Requirement(subject, claim, Standing.REFUSED, f"{entry.verdict}: {entry.reason}")


def _allowed(rules: Iterable[Allow], site: str, subject: str, claim: str) -> Allow | None:
    return next(
        (r for r in rules if r.site == site and chosen(subject, r.examples) and covers(claim, r.claims)), None
    )
