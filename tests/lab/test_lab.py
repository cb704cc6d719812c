"""A whole lab, as the shipped topology describes it: what is in it, who reaches whom, who sees it."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

import pytest

from harness.assembly import Ready
from harness.errors import LabError
from harness.lab.lab import Lab
from harness.lab.router import Capture
from harness.lab.topology import Role
from harness.ledger.facts import FlowSeen, RequestSeen, TailnetNode, Way
from harness.management.command import CommandResult
from harness.management.nomad import Allocation
from harness.management.waiting import wait_until
from harness.probes import packets
from harness.probes.asking import Ask, ask

pytestmark = pytest.mark.lab

FAMILIES = pytest.mark.parametrize("family", ["4", "6"], ids=["IPv4", "IPv6"])
NOWHERE = {"4": "192.0.2.77", "6": "2001:db8:dead::77"}


def token() -> str:
    return f"try-{secrets.token_hex(4)}"


def address(lab: Lab, host: str, family: str) -> str:
    described = lab.topology.host(host)
    return str(described.v4[0] if family == "4" else described.v6[0])


def curl(lab: Lab, host: str, *arguments: str) -> CommandResult:
    return lab.host(host).run("curl", "--noproxy", "*", "-sS", "--max-time", "10", *arguments)


def seen_with(lab: Lab, mark: str) -> list[RequestSeen]:
    return [line.request for line in lab.echo.seen() if line.request.token == mark]


def send_udp(lab: Lab, host: str, to: str, port: int, text: str) -> CommandResult:
    target = f"[{to}]" if ":" in to else to
    return lab.host(host).run("socat", "-t", "0.2", "-", f"UDP:{target}:{port}", stdin=text.encode())


# -- what is there


def test_every_host_runs_and_everything_has_an_origin(ready: Ready) -> None:
    lab = ready.lab
    assert set(lab.hosts) == {"internet", *(h.name for h in lab.topology.hosts)}
    assert ready.origins["node"]
    assert ready.versions["nomad"] == lab.node.nomad.version()
    with pytest.raises(LabError, match="the lab has no host moon; it has client, control"):
        lab.host("moon")


def test_no_host_has_another_way_out_than_its_wire(lab: Lab) -> None:
    for host in lab.topology.hosts:
        links = json.loads(lab.host(host.name).run("ip", "-json", "link").expect().stdout)
        devices = {link["ifname"] for link in links if link["operstate"] == "UP"}
        assert devices - {"docker0"} <= {"eth0"}, host.name
    wires = json.loads(lab.router.host.run("ip", "-json", "link").expect().stdout)
    assert {w["ifname"] for w in wires} <= {"lo", *(f"w-{h.name}" for h in lab.topology.hosts)}


def test_the_tailnet_has_the_members_of_the_topology(lab: Lab) -> None:
    nodes = {n.name: n for n in lab.control.client.nodes()}
    for host in lab.topology.with_role(Role.MEMBER):
        node, membership = nodes[host.name], host.tailnet
        assert membership is not None
        assert node.online
        assert node.tags == membership.tags
        assert {ip_address(a).version for a in node.addresses} == {4, 6}
        if membership.user:
            assert node.user == membership.user


def test_headscale_refuses_a_user_that_is_there(lab: Lab) -> None:
    with pytest.raises(LabError, match="headscale refused POST /api/v1/user"):
        lab.control.client.create_user(lab.topology.users[0])


# -- Nomad


def job(name: str, script: str, **others: object) -> dict[str, object]:
    task: dict[str, object] = {
        "Name": "say",
        "Driver": "docker",
        "Config": {"image": "python:3.13-slim", "command": "python3", "args": ["-c", script]},
        "Resources": {"CPU": 50, "MemoryMB": 64},
        **others,
    }
    group = {
        "Name": "group",
        "Count": 1,
        "RestartPolicy": {"Attempts": 0, "Mode": "fail"},
        "ReschedulePolicy": {"Attempts": 0, "Unlimited": False},
        "Tasks": [task],
    }
    return {"ID": name, "Name": name, "Type": "batch", "Datacenters": ["*"], "TaskGroups": [group]}


@dataclass(frozen=True)
class Space:
    lab: Lab
    name: str

    def run(self, described: dict[str, object]) -> Allocation:
        """Register a job and follow it to its end."""
        nomad = self.lab.node.nomad
        assert nomad.register(described, self.name).evaluation
        for allocations in nomad.follow(self.name, 60):
            if allocations and allocations[0].over:
                return allocations[0]
        raise AssertionError("it did not end in a minute")


@pytest.fixture
def space(lab: Lab) -> Iterator[Space]:
    name = f"try-{secrets.token_hex(3)}"
    lab.node.nomad.create_namespace(name, "a test of the harness")
    lab.node.nomad.create_namespace(name, "made again, which changes nothing")
    yield Space(lab, name)


def test_a_variable_goes_in_and_out(space: Space) -> None:
    nomad = space.lab.node.nomad
    items = {"TS_AUTHKEY": "not a key", "OTHER": "ä\n\"'"}
    nomad.put_variable("nomad/jobs/notailcar/example/secrets", items, space.name)
    assert nomad.read_variable("nomad/jobs/notailcar/example/secrets", space.name) == items
    with pytest.raises(LabError, match="404"):
        nomad.read_variable("nomad/jobs/notailcar/example/secrets", "default")


def test_a_job_is_run_followed_read_stopped_and_forgotten(space: Space) -> None:
    nomad = space.lab.node.nomad
    said = "import sys; print('one line'); print('a complaint', file=sys.stderr)"
    allocation = space.run(job("tiny", said))
    assert allocation.status == "complete"
    assert nomad.job("tiny", space.name)["Namespace"] == space.name
    state = allocation.task("say")
    assert state is not None
    assert state.started
    assert [e.exit_code for e in state.events if e.type == "Terminated"] == [0]
    assert nomad.log(allocation.id, "say", "stdout") == "one line\n"
    assert nomad.log(allocation.id, "say", "stderr") == "a complaint\n"
    assert nomad.placement_failures("tiny", space.name) == []
    nomad.stop("tiny", space.name, purge=True)
    with pytest.raises(LabError, match=r"\(404\)"):
        nomad.job("tiny", space.name)


def test_what_the_agent_is_told_of_memory_is_not_for_tasks(space: Space) -> None:
    described = job("bare", "", Driver="raw_exec", Config={"command": "env"})
    allocation = space.run(described)
    printed = space.lab.node.nomad.log(allocation.id, "say", "stdout")
    assert f"NOMAD_ALLOC_ID={allocation.id}" in printed
    assert "GOGC" not in printed
    assert "GOMEMLIMIT" not in printed
    space.lab.node.nomad.stop("bare", space.name, purge=True)


def test_a_job_that_fails_says_how(space: Space) -> None:
    allocation = space.run(job("bad", "raise SystemExit(3)"))
    assert allocation.status == "failed"
    assert [e.exit_code for t in allocation.tasks for e in t.events if e.type == "Terminated"] == [3]
    space.lab.node.nomad.stop("bad", space.name, purge=True)


def test_a_job_that_fits_nowhere_says_why(space: Space) -> None:
    nomad = space.lab.node.nomad
    described = job("big", "pass")
    described["Constraints"] = [{"LTarget": "${attr.kernel.name}", "RTarget": "plan9", "Operand": "="}]
    nomad.register(described, space.name)
    reasons = wait_until(
        lambda: nomad.placement_failures("big", space.name) or None, seconds=10, what="Nomad has judged it"
    )
    assert reasons == ["group group: ${attr.kernel.name} = plan9"]
    nomad.stop("big", space.name, purge=True)


# -- who reaches whom, and who sees it


@FAMILIES
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["client", "outsider", "node", "neighbour", "exit-a"])
def test_the_internet_works_for_every_host(lab: Lab, host: str, scheme: str, family: str) -> None:
    mark = token()
    answer = curl(lab, host, f"-{family}", f"{scheme}://echo.lab.test/?token={mark}").expect()
    assert answer.stdout.strip() == address(lab, host, family)
    (request,) = seen_with(lab, mark)
    assert (request.protocol, request.peer) == (scheme, address(lab, host, family))
    assert request.local == address(lab, "echo", family)


def test_what_is_asked_for_together_is_asked_for_one_by_one(lab: Lab) -> None:
    marks = [token(), token()]
    port = lab.topology.host("echo").port("http")
    urls = [f'http://echo.lab.test:{port}/?token={mark}&q="\\' for mark in marks]
    refused = f"http://{address(lab, 'echo', '4')}:9/"
    asks = [Ask(Way.DIRECT, url, "a name", 80) for url in (urls[0], refused, urls[1])]
    first, second, third = ask(lab.host("outsider"), asks)
    assert [(a.connected, a.status) for a in (first, second, third)] == [(True, 200), (False, 0), (True, 200)]
    assert "connect" in second.error
    requests = [request for mark in marks for request in seen_with(lab, mark)]
    # Each by a connection of its own.
    assert len({request.peer_port for request in requests}) == len(requests) == 2


def test_every_host_knows_itself_and_the_labs_dns_alone(lab: Lab) -> None:
    for described in lab.topology.hosts:
        host = lab.host(described.name)
        servers = host.run("sed", "-n", "s/^nameserver //p", "/etc/resolv.conf").expect().stdout.split()
        assert servers == [str(lab.topology.internet.v4), str(lab.topology.internet.v6)]
        assert host.run("getent", "hosts", "localhost").expect().stdout.split()[0] in ("127.0.0.1", "::1")


@FAMILIES
def test_the_flow_book_and_a_capture_show_what_passes(lab: Lab, family: str) -> None:
    before = lab.router.flows()
    with_capture = Capture(lab.router.host, "client", "udp port 7", f"try-{token()}")
    mark = token()
    source, destination = address(lab, "client", family), address(lab, "echo", family)
    send_udp(lab, "client", destination, 7, mark).expect()
    closed, pcap = with_capture.close()
    flows, book = lab.router.flows().since(before)
    there = [
        f for f in flows if (f.source, f.destination, f.protocol, f.port) == (source, destination, "udp", 7)
    ]
    assert [(f.wire, f.packets) for f in there] == [("client", 1)]
    assert book.packets_in_rows == book.packets_in_all > 0
    assert closed.dropped == 0
    assert closed.captured == 2
    out, back = packets.read(pcap)
    assert (out.source, out.destination, out.port, out.payload) == (source, destination, 7, mark)
    assert back.source == destination
    assert [r.peer for r in seen_with(lab, mark)] == [source]


@FAMILIES
def test_a_packet_to_nowhere_is_in_the_flow_book_too(lab: Lab, family: str) -> None:
    """What a worker sends past its exit is a leak, whether or not the lab has such a host."""
    before = lab.router.flows()
    send_udp(lab, "node", NOWHERE[family], 53, token())
    flows, book = lab.router.flows().since(before)
    assert (NOWHERE[family], "udp", 53) in {
        (f.destination, f.protocol, f.port) for f in flows if f.wire == "node"
    }
    assert book.packets_in_rows == book.packets_in_all


def test_a_forged_source_is_known_by_its_wire(lab: Lab) -> None:
    before = lab.router.flows()
    target, forged = address(lab, "echo", "4"), address(lab, "client", "4")
    script = f'ip address add {forged}/32 dev lo && socat -t 0.1 - "UDP4:{target}:7,bind={forged}"'
    lab.host("node").run("sh", "-c", script, stdin=b"forged")
    lab.host("node").run("ip", "address", "del", f"{forged}/32", "dev", "lo").expect()
    flows: list[FlowSeen] = lab.router.flows().since(before)[0]
    assert ("node", forged) in {(f.wire, f.source) for f in flows if f.destination == target}


@FAMILIES
def test_a_look_up_is_in_the_query_log(lab: Lab, family: str) -> None:
    mark = lab.router.queries_mark()
    curl(lab, "outsider", f"-{family}", "http://echo.lab.test/").expect()
    names, end = lab.router.queries(mark)
    assert end > mark
    asked = {(n.client, n.name) for n in names}
    outsider = lab.topology.host("outsider")
    assert any(client in outsider.addresses and name == "echo.lab.test" for client, name in asked)


def test_a_name_that_no_host_has_does_not_exist(lab: Lab) -> None:
    result = curl(lab, "outsider", "http://www.example.com/")
    assert result.exit_code == 6
    assert "resolve" in result.stderr


@pytest.fixture(scope="module")
def service(lab: Lab) -> Iterator[TailnetNode]:
    """The stranger's host, for a while with the tag of a service, answering on port 80 of its loopback."""
    member = lab.members["stranger"]
    key = lab.control.client.create_key(tags=("tag:nomad-service",), ephemeral=True)
    member.tailscale("logout").expect()
    member.join(lab.control.login_server, key)
    answering = lab.host("stranger").open(
        "socat", "TCP-LISTEN:80,bind=127.0.0.1,reuseaddr,fork", "SYSTEM:read line; echo hello"
    )
    yield next(n for n in lab.control.client.nodes() if n.tags == ("tag:nomad-service",))
    answering.close()
    member.tailscale("logout").expect()
    member.join(lab.control.login_server, lab.control.member_key(member.membership))


@FAMILIES
def test_a_member_reaches_the_tailnet_and_an_outsider_does_not(
    lab: Lab, service: TailnetNode, family: str
) -> None:
    found = next(a for a in service.addresses if str(ip_address(a).version) == family)
    url = f"http://[{found}]:80/" if family == "6" else f"http://{found}:80/"
    # The member's kernel knows no tailnet (userspace networking), its tailscaled does.
    by_tailnet = ("curl", "-sS", "--proxy", "socks5h://127.0.0.1:1055", "--http0.9", url)
    wait_until(
        lambda: lab.host("client").run(*by_tailnet).stdout == "hello\n",
        seconds=15,
        what="the client reaches the service over the tailnet",
    )
    for host in ("outsider", "neighbour", "client"):
        assert curl(lab, host, "--max-time", "2", "--http0.9", url).exit_code in (7, 28)


def test_a_lie_is_told_for_its_time_only(lab: Lab) -> None:
    with lab.echo.lying("203.0.113.66"):
        assert curl(lab, "client", "-4", "http://echo.lab.test/").expect().stdout == "203.0.113.66\n"
    assert curl(lab, "client", "-4", "http://echo.lab.test/").expect().stdout != "203.0.113.66\n"


def test_a_neighbour_reaches_the_nodes_lan_address(lab: Lab) -> None:
    lan, neighbour = str(lab.topology.only(Role.NODE).v4[1]), address(lab, "neighbour", "4")
    before = lab.router.flows()
    # Nomad listens on the loopback alone, so it is the node's kernel that answers.
    assert curl(lab, "neighbour", f"http://{lan}:4646/").exit_code == 7
    flows, _ = lab.router.flows().since(before)
    ways = {(f.wire, f.source, f.destination) for f in flows if f.protocol == "tcp"}
    assert {("neighbour", neighbour, lan), ("node", lan, neighbour)} <= ways


def test_a_capture_with_a_wrong_filter_is_an_error_of_the_lab(lab: Lab) -> None:
    with pytest.raises(LabError, match="the capture on the wire of client did not start") as caught:
        Capture(lab.router.host, "client", "no such filter", "wrong")
    assert "syntax error" in caught.value.log
