"""The Consul client and its look at the catalogue, against a real agent of the lab's configuration."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from harness.errors import LabError
from harness.ledger.facts import CatalogueSeen, CheckSeen, RegisteredService
from harness.management.consul import CatalogueEntry, Check, ConsulClient
from harness.management.waiting import wait_until
from harness.probes import consul
from harness.run import places
from harness.supply.pins import load_pins
from harness.supply.programs import program

pytestmark = pytest.mark.lab

ALLOCATION = "2c14bd08-71e9-0a51-b3e5-6a1d38dd3a38"
NAME = "web.tailnet.test"


class _Socket(httpx.HTTPTransport):
    def __init__(self, path: Path) -> None:
        super().__init__(uds=str(path))


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The lab's Consul, answering on a unix socket: no port of this machine is asked for."""
    folder = tmp_path_factory.mktemp("consul")
    path = folder / "http.sock"
    ports = ", ".join(f"{name} = -1" for name in ("dns", "serf_wan"))
    hcl = f'addresses {{ http = "unix://{path}" }} ports {{ {ports}, server = 18300, serf_lan = 18301 }}'
    config = places.fixtures() / "nomad" / "consul.hcl"
    with (folder / "log").open("wb") as log:
        agent = subprocess.Popen(
            [program("consul"), "agent", "-dev", "-config-file", config, "-hcl", hcl],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        client = ConsulClient(_Socket(path))
        wait_until(
            client.services,
            seconds=20,
            what="Consul has a leader and its own service",
            transient=(LabError,),
            tail=(folder / "log").read_text,
        )
        client.close()
        yield path
    finally:
        agent.terminate()
        agent.wait()


@pytest.fixture
def client(socket: Path) -> Iterator[ConsulClient]:
    made = ConsulClient(_Socket(socket))
    yield made
    made.close()


@pytest.fixture
def registered(socket: Path) -> Iterator[httpx.Client]:
    """A service as Nomad registers one, with a check that somebody else reports on."""
    service_id = f"_nomad-task-{ALLOCATION}-group-web-web-80"
    with httpx.Client(transport=_Socket(socket), base_url="http://consul") as http:
        body = {
            "ID": service_id,
            "Name": "web",
            "Address": NAME,
            "Port": 80,
            "Tags": ["tailnet"],
            "Check": {"CheckID": "truth", "Name": "tells the truth", "TTL": "10m"},
        }
        http.put("/v1/agent/service/register", json=body).raise_for_status()
        yield http
        http.put(f"/v1/agent/service/deregister/{service_id}").raise_for_status()


def test_version(client: ConsulClient) -> None:
    assert client.version() == load_pins().go["consul"].version


@pytest.mark.usefixtures("registered")
def test_what_is_registered_is_read_back(client: ConsulClient) -> None:
    assert client.services()["web"] == ("tailnet",)
    (entry,) = client.service("web")
    assert entry == CatalogueEntry(entry.id, "web", NAME, 80, ("tailnet",))
    assert client.checks("web") == [Check("truth", "tells the truth", "critical", "", entry.id)]


def test_a_service_that_says_no_address_is_at_its_node(client: ConsulClient) -> None:
    assert [entry.address for entry in client.service("consul")] == ["127.0.0.1"]


def test_what_nobody_registered_is_not_there(client: ConsulClient) -> None:
    assert client.service("moon") == []
    assert client.checks("moon") == []


def test_a_refusal_is_told_in_consuls_own_words(client: ConsulClient) -> None:
    with pytest.raises(LabError, match=r"Consul refused /v1/catalog/service/.*\(400\)"):
        client.service("")


def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="Consul does not answer"):
        ConsulClient(_Socket(tmp_path / "none.sock")).services()


def test_the_look_finds_the_jobs_own(client: ConsulClient, registered: httpx.Client) -> None:
    registered.put("/v1/agent/check/pass/truth", params={"note": "all well"}).raise_for_status()
    checks = (CheckSeen("tells the truth", "passing", "all well"),)
    assert consul.look(client, [ALLOCATION]) == CatalogueSeen(
        ("consul", "web"), (RegisteredService(ALLOCATION, "web", NAME, 80, checks),)
    )


def test_a_check_that_fails_is_told_as_it_is(client: ConsulClient, registered: httpx.Client) -> None:
    # From passing, as the catalogue is told of a change of words alone only minutes later.
    registered.put("/v1/agent/check/pass/truth").raise_for_status()
    assert consul.look(client, [ALLOCATION]).registered[0].checks[0].status == "passing"
    registered.put("/v1/agent/check/fail/truth", params={"note": "no backend"}).raise_for_status()
    (service,) = wait_until(
        lambda: (
            [
                s
                for s in consul.look(client, [ALLOCATION], seconds=0.1).registered
                if s.checks[0].status == "critical"
            ]
            or None
        ),
        seconds=10,
        what="the catalogue knows that the check fails",
    )
    assert service.checks == (CheckSeen("tells the truth", "critical", "no backend"),)
    assert consul.look(client, ["another-allocation"]).registered == ()
