"""The gate, before real tailscaleds: what goes through it, and what it refuses in each way an exit goes."""

import asyncio
import ipaddress
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.toolkit import programs
from tests.toolkit.conftest import Tailnet, Worker
from tests.toolkit.gating import Gate, read_all, socks, talk, tunnel
from tests.toolkit.tailnet import Sidecar, eventually

pytestmark = pytest.mark.lab

way = programs.script("gate_way")
GONE = "no exit node is set that is in the tailnet: traffic goes out directly"


def _request(url: str, more: str = "") -> bytes:
    return f"GET {url} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n{more}\r\n".encode()


@pytest.fixture
def gate(joined: Worker, tmp_path: Path) -> Iterator[Gate]:
    """A gate that is open, by exit-a."""
    assert joined.guard(EXIT_NODE="exit-a").code == 0
    with Gate(joined.sidecar, tmp_path) as made:
        made.wait_for("open: traffic goes by exit node exit-a")
        yield made


def test_lets_each_protocol_through(joined: Worker, gate: Gate) -> None:
    url = urlsplit(joined.tailnet.check_url())
    assert url.hostname and url.port
    assert talk(gate.http_port, _request(url.geturl())).endswith(b"\r\n\r\n127.0.0.1\n")
    for host in (url.hostname, "exit-b", "exit-b.tailnet.test"):
        with tunnel(gate, host, url.port) as client:
            client.sendall(_request("/"))
            assert read_all(client).endswith(b"127.0.0.1\n")
    code, client = socks(gate.socks_port, "exit-b", url.port)
    with client:
        assert code == 0
        client.sendall(_request("/"))
        assert read_all(client).endswith(b"127.0.0.1\n")
    code, client = socks(gate.socks_port, url.hostname, url.port, kind=1)
    client.close()
    assert code == 0


def test_the_guard_s_check_goes_through_it(joined: Worker, gate: Gate) -> None:
    ran = joined.guard(CHECK_URL=joined.tailnet.check_url(), NOMAD_PORT_http=str(gate.http_port))
    assert ran.code == 0, ran
    assert "observed egress address 127.0.0.1" in ran.out


def test_the_guard_waits_for_a_gate_that_starts_after_it(joined: Worker, tmp_path: Path) -> None:
    joined.sidecar.tailscale("set", "--exit-node=")
    gate = Gate(joined.sidecar, tmp_path)
    with ThreadPoolExecutor(1) as pool:
        url, port = joined.tailnet.check_url(), str(gate.http_port)
        running = pool.submit(joined.guard, CHECK_URL=url, NOMAD_PORT_http=port)
        # What it does next is to ask through a proxy where nobody listens yet.
        eventually(
            lambda: joined.sidecar.peer("exit-a")["ExitNode"], seconds=10, what="the guard sets the exit node"
        )
        with gate:
            ran = running.result(30)
    assert ran.code == 0, ran


def test_what_the_exit_does_not_reach_is_told(joined: Worker, gate: Gate) -> None:
    host = "unknown.invalid"
    answer = talk(gate.http_port, f"CONNECT {host}:{joined.tailnet.echo.port} HTTP/1.1\r\n\r\n".encode())
    assert re.match(rb"HTTP/1.1 50[24] ", answer), answer
    assert f"gate: {host} ".encode() in answer


def test_an_answer_behind_a_closed_half_comes(joined: Worker, gate: Gate) -> None:
    """As BusyBox's wget has it, which tailscaled's own proxy hangs up on."""
    url = urlsplit(joined.tailnet.check_url())
    with tunnel(gate, "exit-b", url.port or 0) as client:
        client.sendall(_request("/"))
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).endswith(b"127.0.0.1\n")


@pytest.mark.parametrize("wanted", ["exit-b", "100.64.99.99"])
def test_another_exit_than_a_wanted_one_is_refused(joined: Worker, tmp_path: Path, wanted: str) -> None:
    assert joined.guard(EXIT_NODE="exit-a").code == 0
    with Gate(joined.sidecar, tmp_path, EXIT_NODE=wanted) as gate:
        said = f"exit node exit-a is set, wanted is {wanted}"
        _refuses(gate, joined.tailnet, said)
    with Gate(joined.sidecar, tmp_path, EXIT_NODE=wanted, FALLBACK_EXIT_NODES="exit-a") as gate:
        gate.wait_for("open")


async def _dial(sidecar: Sidecar, port: int) -> None:
    await way.Tailscaled(str(sidecar.socket), 5).dial(ipaddress.ip_address("127.0.0.1"), port)


def _refuses(gate: Gate, tailnet: Tailnet, said: str) -> None:
    """Each protocol, with the reason where there is room for one; nothing of it arrives."""
    url = urlsplit(f"http://127.0.0.1:{tailnet.echo.port}/refused")
    before = len(tailnet.echo.asked)
    for sent in (
        _request(url.geturl()),
        f"CONNECT {url.netloc} HTTP/1.1\r\n\r\n".encode() + _request("/refused"),
    ):
        answer = talk(gate.http_port, sent)
        assert answer.startswith(b"HTTP/1.1 503 "), answer
        assert b"\r\n\r\ngate: " in answer, answer
        assert said.encode() in answer, answer
    code, client = socks(gate.socks_port, "127.0.0.1", url.port or 0)
    client.close()
    assert code == 2
    assert len(tailnet.echo.asked) == before


@pytest.mark.parametrize("how", ["unset", "down", "withdrawn", "expired", "deleted"])
def test_an_exit_that_goes_closes_it(joined: Worker, tmp_path: Path, how: str) -> None:
    """Each way that an exit goes: events close the gate, without anybody asking, and what is open ends."""
    name = f"exit-gate-{how}"
    headscale = joined.tailnet.headscale
    port = urlsplit(joined.tailnet.check_url()).port or 0
    with Sidecar() as leaving, ExitStack() as owned:
        leaving.join(headscale, name, "--advertise-exit-node", tag="tag:exit")
        assert joined.guard(EXIT_NODE=name, EXIT_WAIT="10").code == 0
        gate = owned.enter_context(Gate(joined.sidecar, tmp_path, EXIT_NODE=name))
        gate.wait_for("open: ")
        open_one = owned.enter_context(tunnel(gate, "exit-b", port))
        if how == "unset":
            joined.sidecar.tailscale("set", "--exit-node=")
            said = GONE
        elif how == "down":
            leaving.tailscale("down")
            said = f"exit node {name} is offline"
        elif how == "withdrawn":
            leaving.tailscale("set", "--advertise-exit-node=false")
            said = f"exit node {name} is not offered, or not approved, any more: traffic goes out directly"
        elif how == "expired":
            headscale.run("nodes", "expire", "-i", str(headscale.nodes()[name]["id"]))
            said = f"the key of exit node {name} has expired: traffic goes out directly"
        else:
            headscale.run("nodes", "delete", "--force", "-i", str(headscale.nodes()[name]["id"]))
            said = GONE
        eventually(
            lambda: any(line.startswith("closed: ") and said in line for line in gate.said()),
            seconds=30,
            what=f"it is closed: {said}",
        )
        if how in ("unset", "deleted"):
            # Nothing was sent: it ends because the gate ends it.
            assert read_all(open_one) == b""
        _refuses(gate, joined.tailnet, said)
        # Nor would a dial go out that nobody looked at before.
        if how != "down":
            with pytest.raises(way.NoWayError, match="there is no way to"):
                asyncio.run(_dial(joined.sidecar, joined.tailnet.echo.port))
        # The same observer, and how it looks without a gate: what is not routed goes out directly.
        if how in ("unset", "deleted"):
            url = f"http://127.0.0.1:{joined.tailnet.echo.port}/direct-{how}"
            assert b"127.0.0.1" in talk(joined.sidecar.http_port, _request(url, "Connection: close\r\n"))
            assert [asked for asked in joined.tailnet.echo.asked if f"direct-{how}" in asked.target]
        assert joined.guard(EXIT_NODE="exit-a").code == 0


def test_opens_by_itself_and_says_how_many_it_refused(joined: Worker, tmp_path: Path) -> None:
    assert joined.guard(EXIT_NODE="exit-a").code == 0
    joined.sidecar.tailscale("set", "--exit-node=")
    with Gate(joined.sidecar, tmp_path) as gate:
        _refuses(gate, joined.tailnet, GONE)
        joined.sidecar.tailscale("set", "--exit-node=exit-a")
        line = gate.wait_for("open: ")
        assert re.fullmatch(
            r"open: traffic goes by exit node exit-a \(closed for \d+\.\d s, 3 refused\)", line
        ), line


def test_closed_for_too_long_it_ends(joined: Worker, tmp_path: Path) -> None:
    assert joined.guard(EXIT_NODE="exit-a").code == 0
    with Gate(joined.sidecar, tmp_path, GATE_PATIENCE="0.5") as gate:
        gate.wait_for("open: ")
        joined.sidecar.tailscale("set", "--exit-node=")
        assert gate.popen.wait(10) == 20
        assert gate.said()[-1] == f"closed for more than 0.5 s: {GONE}"
    # After a reboot no guard runs again: it remembers that it was open, and has no more patience.
    with Gate(joined.sidecar, tmp_path, GATE_PATIENCE="0.5") as gate:
        assert gate.popen.wait(10) == 20
    with Gate(joined.sidecar, tmp_path, GATE_PATIENCE="0") as gate:
        joined.sidecar.tailscale("set", "--exit-node=exit-a")
        gate.wait_for("open: ")
        gate.popen.send_signal(signal.SIGTERM)
        assert gate.popen.wait(10) == 0


def test_a_restart_of_tailscaled_lets_nothing_out(worker: Worker, tmp_path: Path) -> None:
    """Asked all the while, as a worker asks: refused, then let through again, and never anything else."""
    assert (
        worker.guard(EXIT_NODE="exit-a", CHECK_URL=worker.tailnet.check_url(), CHECK_TIMEOUT="10").code == 0
    )
    url = f"http://127.0.0.1:{worker.tailnet.echo.port}/restarted"
    before = len(worker.tailnet.echo.asked)
    with Gate(worker.sidecar, tmp_path, GATE_PATIENCE="30") as gate:
        gate.wait_for("open: ")
        worker.sidecar.kill_daemon(signal.SIGKILL)
        gate.wait_for("closed: tailscaled does not answer")
        answers = [talk(gate.http_port, _request(url))]
        with worker.sidecar.again():
            # Until the gate opens: then the exit node is asked for it, which has no way to it either.
            with suppress(TimeoutError):
                while not gate.said()[-1].startswith("open: "):
                    answers.append(talk(gate.http_port, _request(url), seconds=2))
            gate.wait_for("open: ")
            last = talk(gate.http_port, _request(worker.tailnet.check_url()))
    assert last.endswith(b"127.0.0.1\n")
    assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
    assert len(worker.tailnet.echo.asked) == before + 1


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n", b"GET http://a/ HTTP/1.1\r\nX: " + b"x" * (1 << 17)],
)
def test_what_is_no_request_for_a_proxy_is_told(gate: Gate, sent: bytes) -> None:
    assert talk(gate.http_port, sent).startswith(b"HTTP/1.1 400 ")


def test_a_second_request_on_a_connection_goes_nowhere(joined: Worker, gate: Gate) -> None:
    first = _request(joined.tailnet.check_url("/first"))
    before = len(joined.tailnet.echo.asked)
    heard = talk(gate.http_port, first + _request("/second"))
    assert heard.count(b"HTTP/1.0 200 ") + heard.count(b"HTTP/1.1 200 ") == 1
    assert [asked.target for asked in joined.tailnet.echo.asked[before:]] == ["/first"]
