"""Claims in words and in their order, for every view of a report."""

from harness.claims.catalogue import CLAIMS, SURVIVES, fault_claim
from harness.claims.verdict import Outcome
from harness.faults.catalogue import FAULTS

GROUPS = ("egress", "serve", "ports", "identity", "secrets")
"""The groups of claims, in the order in which they are shown."""

SYMBOLS = {Outcome.PROVEN: "✓", Outcome.REFUTED: "✗", Outcome.UNPROVEN: "?"}
ABSENT = "—"
"""A claim that is not made of an example."""
NOT_OFFERED = "○"
"""A claim that could be made of an example, which openly does not offer it."""
FAILED = "!"
"""A claim that was asked for and has no verdict, because the lab failed."""
NOT_RUN = "·"
"""A claim that this run did not judge."""
OFFER = "not offered"
"""How the reason of an absence begins where the example could offer it."""

_SURVIVES = f"{SURVIVES}."
_KNOWN = {claim.id: claim for claim in CLAIMS}


def title(claim: str) -> str:
    """A claim as a sentence: the catalogue's title, or the words of an id that it does not know."""
    if claim in _KNOWN:
        return _KNOWN[claim].title
    if _SURVIVES in claim:
        fault = claim.partition(_SURVIVES)[2]
        return fault_claim(fault, fault_title(fault), group(claim)).title
    return words(short(claim)).capitalize()


def story(claim: str) -> str:
    """The catalogue's group of a claim, or the group of its id."""
    if _SURVIVES in claim:
        return "When something goes wrong"
    return _KNOWN[claim].story if claim in _KNOWN else group(claim).capitalize()


def fault_title(fault: str) -> str:
    """What happens in a fault, as a sentence about the past; the words of a name that is not known."""
    return FAULTS[fault].title if fault in FAULTS else words(fault)


def can_befall(fault: str, kind: str) -> bool:
    """Whether a fault can befall an example of a kind; one that is not known can."""
    return fault not in FAULTS or kind in FAULTS[fault].kinds


def fault_order(fault: str) -> tuple[int, str]:
    """The sort key of a fault: as in the catalogue, then by name."""
    known = list(FAULTS)
    return (known.index(fault) if fault in FAULTS else len(known), fault)


def group(claim: str) -> str:
    """What stands before the first dot of an id."""
    return claim.partition(".")[0]


def short(claim: str) -> str:
    """The id of a claim without its group."""
    first, _, rest = claim.partition(".")
    return rest or first


def words(identifier: str) -> str:
    """`no_direct_packets` and `survives.exit-deleted` as words."""
    return identifier.replace("_", " ").replace("-", " ").replace(".", ": ")


def order(claim: str) -> tuple[int, str, int, str]:
    """The sort key of a claim: by group, in a group as in the catalogue, then by name."""
    known = list(_KNOWN)
    first = group(claim)
    return (
        GROUPS.index(first) if first in GROUPS else len(GROUPS),
        first,
        known.index(claim) if claim in _KNOWN else len(known),
        claim,
    )
