"""The stand-in plays a real cluster: what it has, what its settings give, what happens to it."""

import json
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.management.waiting import wait_until
from harness.supply.pins import load_pins
from tests.live.standin.hosts import CLIENTS, OBSERVER, OPERATOR, SERVERS, TOPOLOGY
from tests.live.standin.left import Left
from tests.live.standin.standin import SPOKEN_TO, StandIn

pytestmark = pytest.mark.lab

SECONDS = 60
SLEEPER = """
job "%s" {
  group "sleeper" {
    task "sleeper" {
      driver = "docker"
      config {
        image   = "%s"
        command = "python3"
        args    = ["-c", "import time; print('asleep', flush=True); time.sleep(1000)"]
      }
      kill_timeout = "1s"
    }
  }
}
"""


class Operator:
    """Gives commands as the operator, with the stand-in's settings or some of them changed."""

    def __init__(self, stand_in: StandIn, settings: Mapping[str, str]) -> None:
        self._stand_in = stand_in
        self.settings = settings

    def with_settings(self, **changed: str) -> "Operator":
        return Operator(self._stand_in, {**self.settings, **changed})

    def run(self, *argv: str) -> tuple[int, str]:
        """Exit code and both streams."""
        process = self._stand_in.run(argv, self.settings)
        said, _ = process.communicate(timeout=SECONDS)
        return process.returncode, said

    def expect(self, *argv: str) -> str:
        code, said = self.run(*argv)
        assert code == 0, f"{argv}: {said}"
        return said


@pytest.fixture
def operator(stand_in: StandIn) -> Operator:
    return Operator(stand_in, stand_in.settings())


@contextmanager
def sleeper(operator: Operator, folder: Path) -> Iterator[str]:
    """A job that runs until the block ends."""
    name = f"notailcar-sleeper-{secrets.token_hex(3)}"
    file = folder / f"{name}.nomad.hcl"
    file.write_text(SLEEPER % (name, load_pins().python.image))
    operator.expect("nomad", "job", "run", "-detach", str(file))
    try:
        yield name
    finally:
        operator.expect("nomad", "job", "stop", "-purge", "-detach", name)


def allocation(operator: Operator, job: str) -> dict[str, str]:
    """The job's one allocation, once it runs."""

    def running() -> dict[str, str] | None:
        found = json.loads(operator.expect("nomad", "job", "allocs", "-json", job))
        return next((each for each in found if each["ClientStatus"] == "running"), None)

    return wait_until(running, seconds=SECONDS, what=f"{job} runs")


def wait_until_nothing_is_left(stand_in: StandIn) -> None:
    last: list[Left] = []

    def nothing() -> bool:
        last[:] = [stand_in.left()]
        return not last[0]

    wait_until(nothing, seconds=SECONDS, what="nothing is left", tail=lambda: repr(last))


# -- what is there


def test_three_servers_have_a_leader_and_two_clients_can_run_containers(stand_in: StandIn) -> None:
    assert stand_in.administrator.leader() in SERVERS
    assert stand_in.administrator.voters() == SERVERS
    clients = stand_in.administrator.clients()
    assert tuple(client.name for client in clients) == CLIENTS
    assert all(client.ready for client in clients)


def test_a_fresh_stand_in_shows_nothing_that_a_run_left(stand_in: StandIn) -> None:
    assert stand_in.left() == Left()


# -- from where the operator is


def test_the_operator_has_a_network_and_a_resolver_of_its_own(operator: Operator) -> None:
    devices = {link["ifname"] for link in json.loads(operator.expect("ip", "-json", "link"))}
    assert devices == {"lo", "eth0"}
    resolvers = operator.expect("cat", "/etc/resolv.conf")
    assert str(TOPOLOGY.internet.v4) in resolvers
    # And this machine has neither.
    assert Path("/etc/resolv.conf").read_text() != resolvers
    here = subprocess.run(["ip", "-json", "address"], capture_output=True, text=True, check=True).stdout
    assert str(TOPOLOGY.host(OPERATOR).v4[0]) not in here


@pytest.mark.parametrize(("setting", "family"), [("CHECK_URL", "v4"), ("CHECK_URL_V6", "v6")])
def test_the_observer_says_who_it_saw(operator: Operator, setting: str, family: str) -> None:
    told = operator.expect("curl", "-sSf", "--max-time", "10", operator.settings[setting])
    (own,) = getattr(TOPOLOGY.host(OPERATOR), family)
    assert told.strip() == str(own)


def test_each_check_name_has_one_family_only(operator: Operator) -> None:
    host = TOPOLOGY.host(OBSERVER)
    for name, address in ((host.names_v4[0], host.v4[0]), (host.names_v6[0], host.v6[0])):
        told = {line.split()[0] for line in operator.expect("getent", "ahosts", name).splitlines()}
        assert told == {str(address)}


def test_a_program_of_the_operator_gets_its_signals(stand_in: StandIn) -> None:
    for sent in (signal.SIGINT, signal.SIGKILL):
        process = stand_in.run(["sh", "-c", "echo started; exec sleep 1000"], {})
        assert process.stdout
        assert process.stdout.readline() == "started\n"
        process.send_signal(sent)
        assert process.wait(SECONDS) == -sent


# -- what the settings are good for


def test_the_settings_reach_nomad(operator: Operator) -> None:
    nodes = json.loads(operator.expect("nomad", "node", "status", "-json"))
    assert sorted(node["Name"] for node in nodes) == list(CLIENTS)


def test_no_other_ca_will_do(operator: Operator) -> None:
    wrong = operator.with_settings(NOMAD_CACERT=operator.settings["TAILNET_CACERT"])
    code, said = wrong.run("nomad", "node", "status")
    assert code != 0
    assert "certificate signed by unknown authority" in said


def test_the_certificates_name_no_address(operator: Operator) -> None:
    code, said = operator.with_settings(NOMAD_TLS_SERVER_NAME="").run("nomad", "node", "status")
    assert code != 0
    assert "certificate is valid for" in said


def test_the_settings_reach_the_control_server(operator: Operator) -> None:
    settings = operator.settings
    said = operator.expect(
        *("curl", "-sSf", "--max-time", "10", "--cacert", settings["TAILNET_CACERT"]),
        *("-H", f"Authorization: Bearer {settings['HEADSCALE_API_KEY']}"),
        f"{settings['TAILNET_LOGIN_SERVER']}/api/v1/node",
    )
    names = {node["givenName"] for node in json.loads(said)["nodes"]}
    assert names >= TOPOLOGY.members


def test_the_settings_reach_the_observers_book(operator: Operator) -> None:
    settings, mark = operator.settings, f"mark-{secrets.token_hex(4)}"
    ask = ("curl", "-sS", "--max-time", "10", "--cacert", settings["OBSERVER_CACERT"])
    operator.expect(*ask, "-H", f"X-Request-Token: {mark}", settings["CHECK_URL"])
    bearer = ("-H", f"Authorization: Bearer {settings['OBSERVER_TOKEN']}")
    book = f"{settings['OBSERVER_URL']}/observer/book?after=0&token={mark}"
    assert mark in operator.expect(*ask, *bearer, book)
    assert mark not in operator.expect(*ask, "-o", "/dev/null", "-w", "%{http_code}", book)


def test_the_settings_reach_the_one_catalogue_of_consul(operator: Operator) -> None:
    url = f"{operator.settings['CONSUL_HTTP_ADDR']}/v1/catalog/nodes"
    nodes = json.loads(operator.expect("curl", "-sSf", "--max-time", "10", url))
    assert {node["Node"] for node in nodes} == {"consul", *CLIENTS}


# -- what the token may do


def test_the_token_runs_a_job_and_looks_into_it(
    operator: Operator, stand_in: StandIn, tmp_path: Path
) -> None:
    with sleeper(operator, tmp_path) as job:
        running = allocation(operator, job)["ID"]
        # Into its log, as a session of exec may end before the output has come (harness.live.shell).
        operator.expect("nomad", "alloc", "exec", running, "sh", "-c", "echo inside > /proc/1/fd/1")
        wait_until(
            lambda: set(operator.expect("nomad", "alloc", "logs", running).split()) == {"asleep", "inside"},
            seconds=SECONDS,
            what="the job's log says that it sleeps, and what was said inside",
        )
    wait_until_nothing_is_left(stand_in)


def test_the_token_keeps_variables_of_its_own(operator: Operator) -> None:
    path = "nomad/jobs/notailcar-some/secrets"
    operator.expect("nomad", "var", "put", "-out=none", path, "ITEM=value")
    assert operator.expect("nomad", "var", "get", "-item=ITEM", path).strip() == "value"
    assert path in operator.expect("nomad", "var", "list", "nomad/jobs/notailcar-")
    operator.expect("nomad", "var", "purge", path)


@pytest.mark.parametrize(
    "command",
    [
        "nomad namespace apply other",
        "nomad var put -out=none nomad/jobs/other ITEM=value",
        "nomad var get nomad/jobs/other",
        "nomad var put -out=none nomad/jobs ITEM=value",
        "nomad agent-info",
        "nomad operator raft list-peers",
        "nomad operator api /v1/agent/self",
        "nomad acl token list",
        "nomad system gc",
        "nomad node drain -enable -yes {client}",
    ],
)
def test_the_token_may_do_nothing_else(operator: Operator, stand_in: StandIn, command: str) -> None:
    command = command.format(client=stand_in.administrator.clients()[0].id)
    _, said = operator.run(*command.split())
    assert "Permission denied" in said
    assert all(client.ready for client in stand_in.administrator.clients())


def test_without_a_token_nothing_is_told(operator: Operator) -> None:
    for token in ("", "3c7fa8f2-6c38-4f5e-9d1c-3b4b1a1ab0e9"):
        code, said = operator.with_settings(NOMAD_TOKEN=token).run("nomad", "node", "status")
        assert code != 0
        assert "Permission denied" in said


# -- what happens to it


def test_a_leader_is_lost_and_another_elected(operator: Operator, stand_in: StandIn) -> None:
    stand_in.let_lead("server-1")
    with stand_in.without("server-1"):
        assert stand_in.wait_for_leader(other_than="server-1") in ("server-2", "server-3")
        wait_until(
            lambda: operator.run("nomad", "node", "status")[0] == 0, seconds=SECONDS, what="Nomad answers"
        )
    assert stand_in.administrator.voters() == SERVERS


def test_the_server_that_is_spoken_to_is_lost(operator: Operator, stand_in: StandIn) -> None:
    with stand_in.without(SPOKEN_TO):
        code, _ = operator.run("nomad", "node", "status")
        assert code != 0
        assert stand_in.wait_for_leader(other_than=SPOKEN_TO) in SERVERS
    operator.expect("nomad", "node", "status")


def test_a_drained_client_hands_over_what_it_ran(
    operator: Operator, stand_in: StandIn, tmp_path: Path
) -> None:
    with sleeper(operator, tmp_path) as job:
        first = allocation(operator, job)["NodeName"]
        with stand_in.drained(first):
            assert not stand_in.administrator.client(first).eligible
            moved = wait_until(
                lambda: (now := allocation(operator, job)["NodeName"]) != first and now,
                seconds=SECONDS,
                what="the job runs elsewhere",
            )
            assert moved in set(CLIENTS) - {first}
        assert stand_in.administrator.client(first).ready
    wait_until_nothing_is_left(stand_in)


def test_the_operator_is_cut_off(operator: Operator, stand_in: StandIn) -> None:
    ask = ("curl", "-sS", "--max-time", "2", operator.settings["CHECK_URL"])
    operator.expect(*ask)
    address = f"http://{TOPOLOGY.host(OBSERVER).v4[0]}/"
    with stand_in.cut():
        for asked in (ask, (*ask[:-1], address)):
            code, said = operator.run(*asked)
            assert code != 0, said
        assert stand_in.administrator.leader() in SERVERS
    operator.expect(*ask)


# -- what a run leaves


def test_what_is_left_is_seen(operator: Operator, stand_in: StandIn, tmp_path: Path) -> None:
    path = "nomad/jobs/notailcar-left"
    operator.expect("nomad", "var", "put", "-out=none", path, "ITEM=value")
    stand_in.control.client.create_key(tags=("tag:nomad-worker",), ephemeral=True)
    with sleeper(operator, tmp_path) as job:
        running = allocation(operator, job)
        left = stand_in.left()
        assert left.jobs == (job,)
        assert left.allocations == (running["ID"],)
        assert left.variables == (f"default/{path}",)
        assert len(left.keys) == 1
        assert left.containers == (f"{running['NodeName']}/sleeper-{running['ID']}",)
        assert not left.nodes
    operator.expect("nomad", "var", "purge", path)
    assert stand_in.control.client.expire_keys() == 1
    wait_until_nothing_is_left(stand_in)
