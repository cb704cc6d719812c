"""Outbound: traffic leaves by the chosen exit node, and by nothing else."""

import pytest

from harness.plugin.executions import Judged


@pytest.mark.claim("egress.address")
def test_egress_address(judged: Judged) -> None:
    """The receiver sees the allowed exits, and no other address."""
    judged.assert_proven()


@pytest.mark.claim("egress.no_direct_packets")
def test_egress_no_direct_packets(judged: Judged) -> None:
    """At the router, the node speaks to the control server and its exits, and to nobody else."""
    judged.assert_proven()


@pytest.mark.claim("egress.dns")
def test_egress_dns(judged: Judged) -> None:
    """The node's own resolver is not asked for what the worker looks for."""
    judged.assert_proven()


@pytest.mark.claim("egress.guard_holds")
def test_egress_guard_holds(judged: Judged) -> None:
    """No worker starts while its exit is absent or the observed address is wrong."""
    judged.assert_proven()


@pytest.mark.claim("egress.fallback")
def test_egress_fallback(judged: Judged) -> None:
    """With the first exit gone, a fallback carries all traffic."""
    judged.assert_proven()


@pytest.mark.claim("egress.confined")
def test_egress_confined(judged: Judged) -> None:
    """From the network namespace of a worker, nothing gets out but through the proxies."""
    judged.assert_proven()
