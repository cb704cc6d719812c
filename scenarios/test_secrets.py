"""The auth key stays where it belongs."""

import pytest

from harness.plugin.executions import Judged


@pytest.mark.claim("secrets.not_exposed")
def test_secrets_not_exposed(judged: Judged) -> None:
    """It is in its Nomad Variable, and in no log, job, process list or environment of a worker."""
    judged.assert_proven()
