"""A whole lab with the second control server: members, policy, Tailscale Services, HTTPS certificates."""

import json
from collections.abc import Iterator

import pytest

from harness.assembly import default_topology, ready_lab
from harness.errors import LabError
from harness.lab.lab import Lab
from harness.lab.member import Member
from harness.lab.topology import ControlProgram, Role
from harness.ledger.facts import AttemptSeen, PageSeen, Way
from harness.management.command import CommandResult
from harness.management.waiting import wait_until
from harness.probes import browsing
from harness.report.progress import Progress
from harness.run.run import Run

pytestmark = pytest.mark.lab

SERVICE = "svc:private-serve-config"
BACKEND = r"""
cat > /run/answer <<'END'
#!/bin/sh
end=$(printf '\r')
while read -r line && [ "$line" != "$end" ]; do :; done
printf 'HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello'
END
chmod 755 /run/answer
exec socat TCP-LISTEN:8999,bind=127.0.0.1,fork,reuseaddr EXEC:/run/answer
"""
CONFIG = {
    "version": "0.0.1",
    "services": {SERVICE: {"endpoints": {"tcp:80": "http://127.0.0.1:8999"}}},
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with (
        Progress() as progress,
        Run() as run,
        ready_lab(default_topology(), run, progress, ControlProgram.LABCONTROL) as ready,
    ):
        yield ready.lab


@pytest.fixture(scope="module")
def server(lab: Lab) -> Iterator[Member]:
    """A member that joined as a service does, with a backend on loopback."""
    member = lab.members["exit-b"]
    member.tailscale("logout").expect()
    key = lab.control.client.create_key(tags=("tag:nomad-service",), ephemeral=True)
    member.join(lab.control.login_server, key)
    backend = member.host.open("sh", "-c", BACKEND)
    member.host.wait_for_listener("TCP:127.0.0.1:8999", seconds=5, what="the backend listens")
    yield member
    backend.close()


def ask(lab: Lab, host: str, url: str) -> CommandResult:
    options = ("-sS", "--max-time", "10", "--proxy", "socks5h://127.0.0.1:1055")
    return lab.host(host).run("curl", *options, url)


def reached(lab: Lab, host: str, url: str) -> None:
    wait_until(
        lambda: ask(lab, host, url).stdout == "hello",
        seconds=10,
        what=f"{host} hears of {url}",
        tail=lambda: str(ask(lab, host, url)),
    )


def look(lab: Lab, url: str) -> tuple[PageSeen, bytes]:
    host = browsing.with_browser(lab)
    assert host is not None
    asked = AttemptSeen("client", Way.TAILNET, url, "full name", 443, 1, connected=True)
    return browsing.look(host, asked, "page.png")


def test_the_members_of_the_topology_are_in(lab: Lab) -> None:
    nodes = {n.name: n for n in lab.control.client.nodes()}
    for host in lab.topology.with_role(Role.MEMBER):
        assert host.tailnet is not None
        assert nodes[host.name].online
        assert nodes[host.name].ephemeral
        if host.tailnet.user:
            assert nodes[host.name].user == host.tailnet.user


def test_a_user_that_is_there_is_refused_in_the_programs_name(lab: Lab) -> None:
    with pytest.raises(LabError, match="labcontrol refused POST /api/v1/user"):
        lab.control.client.create_user(lab.topology.users[0])


def test_every_member_sees_the_noticeboard(lab: Lab) -> None:
    notice = lab.topology.host("notice").tailnet
    assert notice is not None
    for host in ("client", "stranger"):
        assert ask(lab, host, "http://notice.tailnet.test/").stdout == notice.serves


def test_a_key_that_was_used_or_is_unknown_lets_nobody_in(lab: Lab) -> None:
    used = lab.control.client.create_key(tags=("tag:exit",), ephemeral=True)
    member = lab.members["exit-a"]
    member.tailscale("logout").expect()
    member.join(lab.control.login_server, used)
    member.tailscale("logout").expect()
    assert "exit-a" not in {n.name for n in lab.control.client.nodes()}
    for key in (used, "tskey-auth-none"):
        with pytest.raises(LabError, match="exit-a does not join"):
            member.join(lab.control.login_server, key)
    assert used not in lab.control.host.log(10_000)


def test_https_is_served_with_a_certificate_that_a_plain_client_trusts(lab: Lab, server: Member) -> None:
    server.tailscale("serve", "--bg", "--https=443", "8999").expect()
    reached(lab, "client", "https://exit-b.tailnet.test/")
    # And so does a browser, which shows no page under a name that the certificate is not made out to.
    (shown, picture), (warned, _) = (look(lab, "https://exit-b.tailnet.test/"), look(lab, "https://exit-b/"))
    assert shown.text == "hello"
    assert picture.startswith(b"\x89PNG")
    assert warned.title == warned.text == ""
    assert ask(lab, "stranger", "https://exit-b.tailnet.test/").exit_code != 0
    server.tailscale("serve", "reset").expect()


def test_a_service_is_reached_by_its_name_by_those_who_may(lab: Lab, server: Member) -> None:
    url = "http://private-serve-config.tailnet.test/"
    server.host.run("tee", "/run/services.json", stdin=json.dumps(CONFIG).encode()).expect()
    server.tailscale("serve", "set-config", "--all", "/run/services.json").expect()
    server.tailscale("serve", "advertise", SERVICE).expect()
    reached(lab, "client", url)
    assert ask(lab, "stranger", url).exit_code != 0
    server.tailscale("serve", "drain", SERVICE).expect()
    wait_until(lambda: ask(lab, "client", url).exit_code != 0, seconds=10, what="the Service is withdrawn")


def test_a_node_that_is_deleted_is_gone(lab: Lab) -> None:
    client = lab.control.client
    (node,) = (n for n in client.nodes() if n.name == "stranger")
    client.delete(node.id)
    assert "stranger" not in {n.name for n in client.nodes()}
    client.delete(node.id)
