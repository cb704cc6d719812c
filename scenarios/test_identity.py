"""Who a job is in the tailnet, and that it is nobody after its stop."""

import pytest

from harness.plugin.executions import Judged


@pytest.mark.claim("identity.tagged")
def test_identity_tagged(judged: Judged) -> None:
    """What joins is ephemeral and carries exactly the tags of its auth key."""
    judged.assert_proven()


@pytest.mark.claim("identity.removed_after_stop")
def test_identity_removed_after_stop(judged: Judged) -> None:
    """What joined is gone from the tailnet when the job has ended."""
    judged.assert_proven()
