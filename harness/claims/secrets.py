"""`secrets.not_exposed`: the auth key is found in the one place where it belongs, and nowhere else."""

from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.claims.wording import count, listing
from harness.ledger.facts import SecretScan
from harness.ledger.ledger import History

REQUIRED_PLACES = frozenset(
    {
        "task logs",
        "task events",
        "job as registered",
        "process list",
        "worker environment",
        "container configuration",
        "allocation directory",
        "control server log",
        "nomad agent log",
    }
)
"""Where the key must have been searched for, by the exact `place` of a scan."""
EXPECTED_PLACE = "nomad variable"
"""Where the key must be found: the scan of this place is the search's positive control."""


def not_exposed(history: History, expectation: Expectation) -> Verdict:  # noqa: ARG001 - one form for all
    """Judge whether the auth key was found anywhere but in the Nomad variable it comes from.

    Args:
        history: episode as-it-stands.
        expectation: not needed; every claim has the same form.

    Returns:
        Refuted by a hit in a place where none is expected. Unproven when a required place was not searched,
        a search did not find the marker that was there to be found, or did not find the key where it is.
    """
    scans = history.of(SecretScan)
    searched = [(o, s) for o, s in scans if not s.expected]
    controls = tuple(o for o, s in scans if s.expected)
    exposed = [(o, s) for o, s in searched if s.hits]
    if exposed:
        hits: dict[str, int] = {}
        for _, scan in exposed:
            hits[scan.place] = hits.get(scan.place, 0) + len(scan.hits)
        return Verdict(
            Outcome.REFUTED,
            "The auth key was found in "
            + listing(f"{place} ({count(number, 'hit')})" for place, number in sorted(hits.items()))
            + ".",
            tuple(o for o, _ in exposed),
            controls,
        )
    evidence = tuple(o for o, _ in searched)
    if missing := _missing([s for _, s in scans]):
        return Verdict(Outcome.UNPROVEN, f"Not shown: {'; '.join(missing)}.", evidence, controls)
    items = sum(s.items for _, s in searched)
    return Verdict(
        Outcome.PROVEN,
        f"The auth key is in none of {count(len({s.place for _, s in searched}), 'place')} searched "
        f"({count(items, 'item')}, the marker found in each); the same search finds it in the "
        f"{EXPECTED_PLACE}.",
        evidence,
        controls,
    )


def _missing(scans: list[SecretScan]) -> list[str]:
    missing = []
    if places := REQUIRED_PLACES - {s.place for s in scans if not s.expected}:
        missing.append(f"{', '.join(sorted(places))} not searched")
    # A search of nothing cannot have found its marker there, whatever it says.
    if blind := {s.place for s in scans if not s.marker_found or s.items < 1}:
        missing.append(f"the search was blind in {', '.join(sorted(blind))}")
    if EXPECTED_PLACE not in {s.place for s in scans if s.expected}:
        missing.append(f"the {EXPECTED_PLACE} was not searched as the control")
    if lost := {s.place for s in scans if s.expected and not s.hits}:
        missing.append(f"the key was not found in {', '.join(sorted(lost))}, where it is")
    return missing
