"""When something goes wrong: `pytest scenarios --faults all`, or the names of some."""

import pytest

from harness.plugin.executions import Judged


@pytest.mark.claim("egress.survives")
def test_egress_survives(survived: Judged) -> None:
    """Whatever befalls the job, nothing leaves but by its exits."""
    survived.assert_proven()


@pytest.mark.claim("serve.survives")
def test_serve_survives(survived: Judged) -> None:
    """Whatever befalls the service, nobody reaches it who may not."""
    survived.assert_proven()
