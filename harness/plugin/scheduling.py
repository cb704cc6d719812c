"""How pytest-xdist shares scenarios among its workers."""

from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

from harness.errors import NoTailCarError
from harness.job import example
from harness.lab.topology import ControlProgram
from harness.plugin.keys import examples_path

if TYPE_CHECKING:
    from xdist.remote import Producer

_FIRST = ControlProgram.HEADSCALE


class ByExample(LoadScopeScheduling):  # type: ignore[misc] # xdist ships no types
    """One worker runs all claims of an example, because they share what was run for them.

    The few examples of the second control program go to one worker together, lest two boot a lab for them.
    As the largest share they come first (xdist sorts shares by size), and the smaller ones even out the end.

    (xdist's own `loadgroup` marks groups in the ids of tests, which pytest 9.2 keeps from being changed.)
    """

    def __init__(self, config: pytest.Config, log: "Producer | None" = None) -> None:
        """Share the scenarios of the folder that this session's --examples names."""
        super().__init__(config, log)
        try:
            found = example.find(examples_path(config))
        except NoTailCarError:
            # The workers find the same, run nothing, and say why.
            found = []
        self._programs = {e.name: e.control_program for e in found}

    def _split_scope(self, nodeid: str) -> str:
        """Give the example of a test's id, which stands in its brackets, or what it is shared out with."""
        name = nodeid.rpartition("[")[2].removesuffix("]")
        program = self._programs.get(name, _FIRST)
        return name if program is _FIRST else f"examples of {program.value}"
