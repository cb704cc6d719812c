"""The sidecar: what it opens, what it leaves, and how it ends."""

import signal
import stat
from functools import partial
from pathlib import Path

import pytest

from tests.toolkit import programs
from tests.toolkit.conftest import Tailnet
from tests.toolkit.tailnet import Sidecar, eventually

pytestmark = pytest.mark.lab

LISTENING = "0A"
LOOPBACK = "0100007F"


def _listeners(port: int) -> set[str]:
    """The local addresses, as the kernel writes them, that listen on a TCP port."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address, number = local.split(":")
            if state == LISTENING and int(number, 16) == port:
                found.add(address)
    return found


@pytest.mark.parametrize("sh", programs.SHELLS)
def test_term_takes_the_node_out_of_the_tailnet(tailnet: Tailnet, sh: str) -> None:
    name = f"leaves-{sh}"
    with Sidecar(sh=sh) as sidecar:
        sidecar.join(tailnet.headscale, name, tag="tag:nomad-worker")
        assert name in tailnet.headscale.nodes()
        daemon = Path(f"/proc/{sidecar.daemon()}")
        assert sidecar.process.stop() == 0
        assert not daemon.exists()
    assert name not in tailnet.headscale.nodes()


def test_proxies_listen_on_loopback_alone() -> None:
    with Sidecar() as sidecar:
        for port in (sidecar.socks_port, sidecar.http_port):
            eventually(partial(_listeners, port), seconds=5, what="the proxy listens")
            assert _listeners(port) == {LOOPBACK}


def test_state_is_for_its_own_user_alone() -> None:
    with Sidecar() as sidecar:
        assert stat.S_IMODE(sidecar.state.stat().st_mode) == 0o700


@pytest.mark.parametrize("sh", programs.SHELLS)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, 137), (signal.SIGTERM, 1)])
def test_a_tailscaled_that_ends_by_itself_is_a_failure(sh: str, number: signal.Signals, code: int) -> None:
    """Also when it ends with 0: Nomad would let the worker go on without it."""
    with Sidecar(sh=sh) as sidecar:
        assert sidecar.tailscale("status", "--json").returncode == 0
        assert sidecar.kill_daemon(number) == code
        assert "tailscaled ended by itself" in sidecar.process.log.read_text()
