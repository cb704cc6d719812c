"""How figures and lists stand in a verdict's reason."""

from collections.abc import Iterable

LISTED = 8
"""A reason names at most so many things; the evidence has them all."""


def count(number: int, noun: str, several: str = "") -> str:
    """Give a figure with its noun: `1 request`, `2 requests`; `several` for a plural of its own."""
    return f"{number} {noun}" if number == 1 else f"{number} {several or noun + 's'}"


def listing(items: Iterable[str], separator: str = ", ") -> str:
    """Join the first `LISTED` items and say how many more there are."""
    everything = list(items)
    shown = everything[:LISTED]
    if rest := len(everything) - len(shown):
        shown.append(f"and {rest} more")
    return separator.join(shown)
