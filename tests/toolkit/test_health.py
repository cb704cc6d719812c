"""The health check: what it says of a sidecar, and what tailscaled's own answers say meanwhile."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.toolkit import programs
from tests.toolkit.conftest import Tailnet, Worker
from tests.toolkit.serving import Backend, Service
from tests.toolkit.tailnet import Sidecar, eventually, free_port

pytestmark = pytest.mark.lab


class Health:
    """Owns a health.py that runs beside a sidecar."""

    def __init__(self, sidecar: Sidecar, **settings: str) -> None:
        """Take the sidecar, and what the job gives to its health task."""
        self._port = free_port()
        self._environment = {
            **sidecar.environment,
            "NOMAD_PORT_health": str(self._port),
            "PYTHONDONTWRITEBYTECODE": "1",
            **settings,
        }

    def __enter__(self) -> Self:
        self.popen = subprocess.Popen([sys.executable, programs.HEALTH], env=self._environment)
        eventually(self._listens, seconds=10, what="the health check listens")
        return self

    def _listens(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.connect()
        except OSError:
            return False
        finally:
            connection.close()
        return True

    def reasons(self) -> list[str]:
        """Ask as Nomad does. The status and the body say the same."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            said = json.loads(response.read())
        finally:
            connection.close()
        assert (response.status == 200) == said["healthy"] == (not said["reasons"])
        assert response.status in (200, 503)
        return [str(reason) for reason in said["reasons"]]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.popen.kill()
        self.popen.wait()


def _egress(worker: Worker, **settings: str) -> Health:
    given = {
        "HEALTH_OF": "egress",
        "EXIT_NODE": "exit-a",
        "CHECK_URL": worker.tailnet.check_url(),
        "EXPECTED_EGRESS": "127.0.0.1",
        "CHECK_KEEP": "0",
        "HEALTH_TIMEOUT": "10",
        **settings,
    }
    return Health(worker.sidecar, **given)


def _says_yes(sidecar: Sidecar) -> bool:
    """What tailscaled's own answers say: `tailscale wait`, and the addresses that /healthz goes by.

    The endpoint itself is a part of containerboot (tailscale, kube/health): 200 while there is an address.
    """
    waited = sidecar.tailscale("wait", "--timeout=5s").returncode == 0
    return waited and sidecar.tailscale("ip").stdout.strip() != ""


def test_is_well_while_the_exit_carries_the_traffic(joined: Worker) -> None:
    assert joined.guard(EXIT_NODE="exit-a").code == 0
    with _egress(joined) as health:
        asked = len(joined.tailnet.echo.asked)
        assert health.reasons() == []
        assert len(joined.tailnet.echo.asked) == asked + 1


def test_an_answer_is_good_for_some_seconds(joined: Worker) -> None:
    assert joined.guard(EXIT_NODE="exit-a").code == 0
    with _egress(joined, CHECK_KEEP="60") as health:
        asked = len(joined.tailnet.echo.asked)
        assert [health.reasons() for _ in range(3)] == [[], [], []]
        assert len(joined.tailnet.echo.asked) == asked + 1


@pytest.mark.parametrize(
    ("path", "expected", "said"),
    [
        ("/lie", "127.0.0.1", "traffic is seen from 203.0.113.9, expected 127.0.0.1"),
        ("/html", "", "answers something that is not an address"),
        ("/error", "", "answers 500"),
    ],
)
def test_a_wrong_answer_from_outside_is_told(joined: Worker, path: str, expected: str, said: str) -> None:
    assert joined.guard(EXIT_NODE="exit-a").code == 0
    with _egress(joined, CHECK_URL=joined.tailnet.check_url(path), EXPECTED_EGRESS=expected) as health:
        (reason,) = health.reasons()
    assert said in reason


def test_a_check_that_hangs_is_told_in_time(joined: Worker) -> None:
    assert joined.guard(EXIT_NODE="exit-a").code == 0
    with _egress(joined, CHECK_URL=joined.tailnet.check_url("/hang"), HEALTH_TIMEOUT="1") as health:
        (reason,) = health.reasons()
    assert "gives no answer" in reason


def test_another_exit_than_the_wanted_ones_is_told(joined: Worker) -> None:
    assert joined.guard(EXIT_NODE="exit-b").code == 0
    with _egress(joined, CHECK_URL="", EXPECTED_EGRESS="") as health:
        assert health.reasons() == ["exit node exit-b is set, wanted is exit-a"]
    address = joined.tailnet.headscale.nodes()["exit-b"]["ip_addresses"][0]
    for fallbacks in ("exit-c, exit-b", address):
        with _egress(joined, CHECK_URL="", EXPECTED_EGRESS="", FALLBACK_EXIT_NODES=fallbacks) as health:
            assert health.reasons() == []


def test_an_exit_that_is_not_set_is_told_and_nothing_sent(joined: Worker) -> None:
    assert joined.guard(EXIT_NODE="exit-a").code == 0
    joined.sidecar.tailscale("set", "--exit-node=")
    url = f"http://127.0.0.1:{joined.tailnet.echo.port}/direct-health"
    with _egress(joined, CHECK_URL=url) as health:
        assert health.reasons() == ["no exit node is set that is in the tailnet: traffic goes out directly"]
    assert _says_yes(joined.sidecar)
    assert not [asked for asked in joined.tailnet.echo.asked if "direct-health" in asked.target]
    # The same observer, and how it looks when something is sent: with no exit it goes out directly.
    connection = http.client.HTTPConnection("127.0.0.1", joined.sidecar.http_port, timeout=10)
    connection.request("GET", url)
    assert connection.getresponse().status == 200
    assert [asked for asked in joined.tailnet.echo.asked if "direct-health" in asked.target]


@pytest.mark.parametrize("how", ["down", "deleted"])
def test_an_exit_that_goes_is_told_while_tailscaled_says_yes(joined: Worker, how: str) -> None:
    """Where tailscaled's own answers mislead: issues 13620 and 13436 of tailscale/tailscale."""
    name = f"exit-{how}"
    headscale = joined.tailnet.headscale
    with Sidecar() as leaving:
        leaving.join(headscale, name, "--advertise-exit-node", tag="tag:exit")
        assert joined.guard(EXIT_NODE=name, EXIT_WAIT="10").code == 0
        url = f"http://127.0.0.1:{joined.tailnet.echo.port}/gone-{how}"
        with _egress(joined, EXIT_NODE=name, CHECK_URL="", EXPECTED_EGRESS="") as health:
            assert health.reasons() == []
            if how == "down":
                leaving.tailscale("down")
                said = f"exit node {name} is offline"
            else:
                headscale.run("nodes", "delete", "--force", "-i", str(headscale.nodes()[name]["id"]))
                said = "no exit node is set that is in the tailnet: traffic goes out directly"
            eventually(lambda: health.reasons() == [said], seconds=30, what=f"it says that {said}")
            assert _says_yes(joined.sidecar)
        with _egress(joined, EXIT_NODE=name, CHECK_URL=url) as health:
            assert health.reasons() == [said]
    assert not [asked for asked in joined.tailnet.echo.asked if f"gone-{how}" in asked.target]


@pytest.fixture
def service(tailnet: Tailnet, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Service]:
    """A new allocation that serves: never logged in, with a name of its own."""
    with Sidecar() as sidecar:
        made = Service(tailnet.headscale, sidecar, tmp_path, f"h{abs(hash(request.node.name))}")
        made.give_key(tailnet.headscale.key("tag:nomad-service"))
        yield made


def test_follows_a_service_from_nothing_to_its_end(service: Service) -> None:
    with Backend() as first, Backend() as second:
        backends = f"http://127.0.0.1:{first.port}/healthz, tcp://127.0.0.1:{second.port}"
        with Health(service.sidecar, HEALTH_OF="serve", BACKENDS=backends) as health:
            assert health.reasons() == [
                "the node is not in the tailnet: it is in state NeedsLogin",
                "nothing is published by Serve",
            ]
            with service.serve(
                SERVE=f"http/={first.port},tcp:9={second.port}", WATCH_INTERVAL="60"
            ) as serving:
                serving.wait_for("published")
                assert health.reasons() == []
                service.sidecar.tailscale("serve", "--tcp=9", "off")
                assert health.reasons() == [
                    f"backend tcp://127.0.0.1:{second.port} is not published by Serve"
                ]
                serving.stop()
            assert health.reasons() == ["nothing is published by Serve"]
            assert _says_yes(service.sidecar)
            node = service.headscale.nodes()[service.name]["id"]
            service.headscale.run("nodes", "expire", "-i", str(node))
            eventually(
                lambda: "it is in state NeedsLogin" in health.reasons()[0],
                seconds=10,
                what="it says that the node's key has expired",
            )
            service.sidecar.kill_daemon(signal.SIGKILL)
            (reason,) = health.reasons()
            assert reason.startswith("tailscaled does not answer: ")


def test_a_backend_that_is_ill_or_away_is_told(service: Service) -> None:
    with Backend() as backend:
        ill = f"http://127.0.0.1:{backend.port}/ill"
        with service.serve(SERVE=f"http/={backend.port}") as serving:
            serving.wait_for("published")
            with Health(service.sidecar, HEALTH_OF="serve", BACKENDS=ill) as health:
                assert health.reasons() == [f"backend {ill} answers 503"]
                backend.__exit__(None, None, None)
                (reason,) = health.reasons()
                assert reason.startswith(f"backend {ill} does not answer: ")
            serving.stop()


def test_a_backend_may_be_a_socket(service: Service, tmp_path: Path) -> None:
    path, file = tmp_path / "web.sock", tmp_path / "services.json"
    endpoints = {"tcp:80": f"http://unix:{path}"}
    file.write_text(json.dumps({"version": "0.0.1", "services": {"svc:web": {"endpoints": endpoints}}}))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with service.serve(SERVE_CONFIG=str(file)) as serving:
            serving.wait_for("published")
            with Health(service.sidecar, HEALTH_OF="serve", BACKENDS=f"unix:{path}") as health:
                assert health.reasons() == []
                listener.close()
                (reason,) = health.reasons()
                assert reason.startswith(f"backend unix:{path} does not answer: ")
            with Health(service.sidecar, HEALTH_OF="serve", BACKENDS="unix:/nowhere") as health:
                assert "backend unix:/nowhere is not published by Serve" in health.reasons()
            serving.stop()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "HEALTH_OF is ''; it is egress, serve, or both"),
        ({"HEALTH_OF": "serve,ingress"}, "HEALTH_OF is 'serve,ingress'"),
        ({"HEALTH_OF": "serve"}, "BACKENDS is not set"),
        ({"HEALTH_OF": "serve", "BACKENDS": "http://192.0.2.1:80/"}, "BACKENDS holds http://192.0.2.1:80/"),
        ({"HEALTH_OF": "serve", "BACKENDS": "http://127.0.0.1/"}, "BACKENDS holds http://127.0.0.1/"),
        ({"HEALTH_OF": "egress", "NOMAD_PORT_health": "x"}, "NOMAD_PORT_health is 'x', which is no port"),
        ({"HEALTH_OF": "egress", "CHECK_URL": "http://c/"}, "which is no port"),
        ({"HEALTH_OF": "egress", "CHECK_URL": "ftp://c/"}, "CHECK_URL is neither http nor https"),
        ({"HEALTH_OF": "egress", "EXPECTED_EGRESS": "192.0.2.1"}, "EXPECTED_EGRESS is set, but no CHECK_URL"),
        ({"HEALTH_OF": "egress", "EXPECTED_EGRESS": "exit-a"}, "EXPECTED_EGRESS: 'exit-a'"),
        ({"HEALTH_OF": "egress", "CHECK_KEEP": "-1"}, "CHECK_KEEP is '-1', which is no number of seconds"),
        ({"HEALTH_OF": "egress", "HEALTH_TIMEOUT": "nan"}, "HEALTH_TIMEOUT is 'nan'"),
    ],
)
def test_a_wrong_setting_is_said(settings: dict[str, str], said: str) -> None:
    done = _run({"NOMAD_PORT_health": "9", **settings})
    assert done.returncode == 2
    assert done.stderr.startswith("health: ")
    assert said in done.stderr


def test_help_names_every_setting() -> None:
    done = _run({}, "--help")
    assert done.returncode == 0
    read = re.findall(r"environ\w*(?:\.get\(|, )[\"']([A-Z]\w+)", programs.HEALTH.read_text(encoding="utf-8"))
    assert len(set(read)) > 10
    assert not [name for name in read if name not in done.stdout and name != "NOMAD_ALLOC_DIR"]


def test_term_ends_it() -> None:
    with Sidecar() as sidecar, Health(sidecar, HEALTH_OF="egress") as health:
        health.popen.terminate()
        assert health.popen.wait(5) == 0


def _run(settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, programs.HEALTH, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
