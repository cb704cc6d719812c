"""How pytest-xdist shares scenarios among its workers."""

from xdist.scheduler import LoadScopeScheduling


class ByExample(LoadScopeScheduling):  # type: ignore[misc] # xdist ships no types
    """One worker runs all claims of an example, because they share what was run for them.

    (xdist's own `loadgroup` marks groups in the ids of tests, which pytest 9.2 keeps from being changed.)
    """

    def _split_scope(self, nodeid: str) -> str:
        """Give the example of a test's id: what stands in its brackets."""
        return nodeid.rpartition("[")[2].removesuffix("]")
