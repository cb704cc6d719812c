"""Open ports: what a job opens is there for the tailnet, and for nobody else."""

import pytest

from harness.plugin.executions import Judged


@pytest.mark.claim("ports.none_public")
def test_ports_none_public(judged: Judged) -> None:
    """Nothing listens beyond loopback, nothing is published, and no port of the node answers from outside."""
    judged.assert_proven()
