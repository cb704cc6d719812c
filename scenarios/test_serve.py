"""Inbound: what is served is reached by those who may, over the tailnet, and by nobody else."""

import pytest

from harness.plugin.executions import Judged


@pytest.mark.claim("serve.reachable")
def test_serve_reachable(judged: Judged) -> None:
    """Who may is answered as smoke.toml promises, by full name and by short name."""
    judged.assert_proven()


@pytest.mark.claim("serve.denied_to_strangers")
def test_serve_denied_to_strangers(judged: Judged) -> None:
    """A member of the tailnet that may not gets no connection."""
    judged.assert_proven()


@pytest.mark.claim("serve.private")
def test_serve_private(judged: Judged) -> None:
    """Neither the internet nor the node's LAN gets a connection, on IPv4 or IPv6."""
    judged.assert_proven()
