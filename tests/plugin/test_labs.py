"""One lab for each control program, booted once, when it is first needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from harness.errors import LabError
from harness.lab.topology import ControlProgram
from harness.plugin.labs import Labs
from harness.probes.stage import Stage


class Boots:
    """Writes down what is booted and removed, in order."""

    def __init__(self, *, burned: bool = False) -> None:
        self.told: list[str] = []
        self._burned = burned

    @contextmanager
    def stage(self, program: ControlProgram) -> Iterator[Stage]:
        self.told.append(f"boot {program}")
        if self._burned:
            raise LabError("the lab burned down")
        yield cast(Stage, object())
        self.told.append(f"remove {program}")


def test_each_is_booted_when_it_is_first_asked_for_and_removed_at_the_end() -> None:
    boots = Boots()
    with Labs(boots.stage) as labs:
        assert boots.told == []
        first = labs.executions(ControlProgram.LABCONTROL)
        assert boots.told == ["boot labcontrol"]
        assert labs.executions(ControlProgram.HEADSCALE) is not first
        assert labs.executions(ControlProgram.LABCONTROL) is first
        assert boots.told == ["boot labcontrol", "boot headscale"]
    assert sorted(boots.told[2:]) == ["remove headscale", "remove labcontrol"]


def test_one_that_is_discarded_is_removed_and_booted_anew() -> None:
    boots = Boots()
    with Labs(boots.stage) as labs:
        first = labs.executions(ControlProgram.HEADSCALE)
        labs.discard(ControlProgram.HEADSCALE)
        labs.discard(ControlProgram.LABCONTROL)
        assert boots.told == ["boot headscale", "remove headscale"]
        assert labs.executions(ControlProgram.HEADSCALE) is not first
    assert boots.told == ["boot headscale", "remove headscale"] * 2


def test_a_boot_that_failed_is_not_tried_again() -> None:
    boots = Boots(burned=True)
    with Labs(boots.stage) as labs:
        for _ in range(2):
            with pytest.raises(LabError, match="the lab burned down"):
                labs.executions(ControlProgram.HEADSCALE)
    assert boots.told == ["boot headscale"]
