"""The ways out of serve.sh, each with a real tailscaled and headscale; and that it serves."""

import http.client
import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.toolkit import programs
from tests.toolkit.conftest import Tailnet
from tests.toolkit.serving import EXIT_CODES, Backend, Ran, Service, Serving, get
from tests.toolkit.tailnet import Sidecar, eventually, free_port

pytestmark = pytest.mark.lab

SHELLS = pytest.mark.parametrize("sh", programs.SHELLS)
TAG = "tag:nomad-service"


@pytest.fixture(scope="module")
def reader(tailnet: Tailnet) -> Iterator[Sidecar]:
    """A member of the tailnet that may reach what is served."""
    with Sidecar() as sidecar:
        sidecar.join(tailnet.headscale, "reader", tag="tag:reader")
        yield sidecar


@pytest.fixture
def service(tailnet: Tailnet, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Service]:
    """A new allocation: never logged in, with a name of its own."""
    name = f"s{abs(hash(request.node.name))}"
    with Sidecar() as sidecar:
        made = Service(tailnet.headscale, sidecar, tmp_path, name)
        made.give_key(tailnet.headscale.key(TAG))
        yield made


@pytest.fixture(scope="module")
def member(tailnet: Tailnet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An allocation that is in the tailnet already, as for a task that is started again."""
    with Sidecar() as sidecar:
        made = Service(tailnet.headscale, sidecar, tmp_path_factory.mktemp("member"), "member")
        made.give_key(tailnet.headscale.key(TAG))
        with Backend() as backend, made.serve(SERVE=f"http/={backend.port}") as serving:
            serving.wait_for("published")
            serving.stop()
        yield made


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with Backend() as made:
        yield made


def _redis(port: int, reader: Sidecar, name: str) -> bytes:
    """Ask by raw TCP through the reader's proxy."""
    connection = http.client.HTTPConnection("127.0.0.1", reader.http_port, timeout=15)
    connection.set_tunnel(f"{name}.tailnet.test", port)
    connection.connect()
    with connection.sock as stream:
        stream.sendall(b"GET /raw HTTP/1.0\r\n\r\n")
        said = b""
        while more := stream.recv(4096):
            said += more
        return said


@SHELLS
def test_serves_what_was_asked_and_withdraws_it(
    service: Service, reader: Sidecar, backend: Backend, sh: str
) -> None:
    settings = f"http/={backend.port},\n  http/api={backend.port}/v1 tcp:6379={backend.port}"
    with service.serve(sh=sh, SERVE=settings) as serving:
        said = serving.wait_for("published")
        assert said == (
            f"serve: published: http/={backend.port} http/api={backend.port}/v1 tcp:6379={backend.port} "
            f"(backends on 127.0.0.1: {backend.port})\n"
        )
        host = f"http://{service.name}.tailnet.test"
        eventually(lambda: reader.peer(service.name), seconds=10, what="the reader sees the node")
        assert get(reader, f"{host}/page?a=b") == (200, "backend /page?a=b")
        assert get(reader, f"{host}/api/items") == (200, "backend /v1/items")
        assert get(reader, f"http://{service.name}/") == (200, "backend /")
        assert b"backend /raw" in _redis(6379, reader, service.name)
        done = serving.stop()
    assert (done.code, done.err) == (EXIT_CODES["withdrawn"], "")
    assert done.out.endswith("serve: withdrawn\n")
    assert service.published() == {}
    # Only Serve is gone: leaving the tailnet is the sidecar's part, once the backend has ended.
    assert service.name in service.headscale.nodes()


def test_a_port_that_is_not_served_leads_to_loopback(
    member: Service, reader: Sidecar, backend: Backend
) -> None:
    """Why equal ports are refused, and why a policy opens no more ports than are served."""
    with (
        Backend("another program of this machine") as other,
        member.serve(SERVE=f"http/={backend.port}") as s,
    ):
        s.wait_for("published")
        status, body = get(reader, f"http://member.tailnet.test:{other.port}/")
        assert (status, body) == (200, "another program of this machine /")
        s.stop()


def test_needs_nothing_but_busybox(member: Service, backend: Backend, tmp_path: Path) -> None:
    """As in the Tailscale image; `member` has a state to compare and to withdraw."""
    path = programs.busybox_alone(tmp_path)
    (tmp_path / "tailscale").symlink_to(programs.find("tailscale"))
    settings = {"SERVE": f"http/={backend.port},tcp:9={backend.port}", "PATH": path}
    with member.serve(sh="busybox", **settings) as serving:
        serving.wait_for("published")
        member.sidecar.tailscale("serve", "--tcp=9", "off")
        done = serving.end()
    assert done.code == EXIT_CODES["differs"]
    assert done.reason == f"asked for, but not published: TCP|9|TCPForward|127.0.0.1:{backend.port}"
    with Backend(host="0.0.0.0") as open_to_all:  # noqa: S104 - to be refused
        done = member.refuses(sh="busybox", **{**settings, "SERVE": f"http/={open_to_all.port}"})
    assert done.code == EXIT_CODES["beyond loopback"]
    with member.serve(sh="busybox", **settings) as serving:
        serving.wait_for("published")
        done = serving.stop()
    assert (done.code, done.err) == (EXIT_CODES["withdrawn"], "")


def test_clears_what_an_earlier_run_left(member: Service, backend: Backend) -> None:
    member.sidecar.tailscale("serve", "--bg", "--tcp=7", f"tcp://127.0.0.1:{backend.port}")
    with member.serve(SERVE=f"tcp:9={backend.port}") as serving:
        serving.wait_for("published")
        assert set(member.published()["TCP"]) == {"9"}
        serving.stop()


@SHELLS
@pytest.mark.parametrize(
    ("serve", "said"),
    [
        ("", "SERVE is not set: nothing is to be published"),
        (" ,\n", "SERVE is not set: nothing is to be published"),
        ("8080", "SERVE holds 8080, which is not SCHEME[:PORT][/PATH]=BACKEND[/BACKEND_PATH]"),
        ("ftp:21=9000", "SERVE holds ftp:21=9000"),
        ("tcp=9000", "SERVE holds tcp=9000"),
        ("tcp:5432/path=9000", "SERVE holds tcp:5432/path=9000"),
        ("http:70000/=9000", "SERVE holds http:70000/=9000"),
        ("http/a;b=9000", "SERVE holds http/a;b=9000"),
        ("http/=localhost:9000", "SERVE holds http/=localhost:9000"),
        ("http:9000/=9000", "port 9000 is served, and the backend's own"),
        ("http/=9000,tcp:9000=9001", "port 9000 is served, and the backend's own"),
        ("http/=9000,http:80/=9001", "SERVE publishes http:80/ twice"),
        ("http:80/=9000,tcp:80=9001", "SERVE publishes port 80 by two schemes"),
    ],
)
def test_refuses_what_cannot_be_asked_for(tmp_path: Path, sh: str, serve: str, said: str) -> None:
    done = _alone(tmp_path, sh=sh, SERVE=serve)
    assert done.code == EXIT_CODES["setting"]
    assert done.reason.startswith(said)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"WATCH_INTERVAL": "0.5"}, "WATCH_INTERVAL=0.5 is not a whole number"),
        ({"TAILNET_NAME": "My_Service"}, "TAILNET_NAME is My_Service; a name by which it is found has"),
        ({"SERVE_CONFIG": "/there"}, "SERVE and SERVE_CONFIG are both set"),
        ({"SERVE": "", "SERVE_CONFIG": "/nowhere"}, "SERVE_CONFIG: there is no file /nowhere"),
    ],
)
def test_refuses_settings(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    done = _alone(tmp_path, **{"SERVE": "http/=9000", **settings})
    assert done.code == EXIT_CODES["setting"]
    assert done.reason.startswith(said)


def _alone(folder: Path, *, sh: str = "dash", **settings: str) -> Ran:
    """Run it to an end that it comes to before it talks to anybody."""
    with Serving({"TAILNET_NAME": "alone", **settings}, folder, sh=sh) as serving:
        return serving.end()


@SHELLS
def test_refuses_without_a_key_or_a_socket(tmp_path: Path, sh: str) -> None:
    key = tmp_path / "ts-authkey"
    settings = {"SERVE": "http/=9000", "TS_AUTHKEY_FILE": str(key), "TS_SOCKET": "/nowhere/sock"}
    done = _alone(tmp_path, sh=sh, **settings)
    assert (done.code, done.reason) == (EXIT_CODES["key"], f"no auth key in {key}")
    key.write_text("tskey-auth-x")
    done = _alone(tmp_path, sh=sh, TS_SOCKET_TIMEOUT="1", **settings)
    assert done.code == EXIT_CODES["socket"]
    assert done.reason == "tailscaled does not answer on /nowhere/sock after 1 s"


def test_exit_codes_are_those_that_the_script_names() -> None:
    head = programs.SERVE.read_text(encoding="utf-8").partition("set -euf")[0].replace("\n#", "")
    for meaning, code in EXIT_CODES.items():
        assert f" {code} " in head, meaning


def test_refuses_an_unknown_key_and_does_not_show_it(service: Service, backend: Backend) -> None:
    key = "hskey-auth-" + "a" * 12 + "-" + "b" * 64
    service.give_key(key)
    done = service.refuses(SERVE=f"http/={backend.port}")
    assert done.code == EXIT_CODES["refused"]
    assert done.reason.startswith(f"login at {service.headscale.url} failed: ")
    assert "b" * 16 not in done.out + done.err


def test_refuses_a_login_server_that_is_down(service: Service, backend: Backend) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    done = service.refuses(SERVE=f"http/={backend.port}", LOGIN_SERVER=nobody, LOGIN_TIMEOUT="2")
    assert done.code == EXIT_CODES["login timeout"]


@SHELLS
def test_refuses_a_backend_that_does_not_listen_and_does_not_join(service: Service, sh: str) -> None:
    port = free_port()
    done = service.refuses(sh=sh, SERVE=f"http/={port}", BACKEND_TIMEOUT="1")
    assert done.code == EXIT_CODES["backend"]
    assert done.reason == f"no backend listens on 127.0.0.1:{port} after 1 s"
    assert service.name not in service.headscale.nodes()


@SHELLS
@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "0.0.0.0"), ("::", "[::]"), ("own", "own")])  # noqa: S104 - to be refused
def test_refuses_a_backend_with_a_second_door_and_does_not_join(
    service: Service, sh: str, host: str, shown: str
) -> None:
    if host == "own":
        host = shown = _own_address()
    with Backend(host=host) as open_to_all:
        done = service.refuses(sh=sh, SERVE=f"http/={open_to_all.port}")
    assert done.code == EXIT_CODES["beyond loopback"]
    assert done.reason == f"the backend on port {open_to_all.port} listens on {shown}, beyond loopback"
    assert service.name not in service.headscale.nodes()


def _own_address() -> str:
    """An address of this machine beyond loopback: the one that it would send from. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            pytest.skip("this machine has loopback alone")
        address: str = probe.getsockname()[0]
    return address


def test_a_listener_on_another_port_is_nobodys_business(member: Service, backend: Backend) -> None:
    with Backend(host="0.0.0.0"), member.serve(SERVE=f"http/={backend.port}") as serving:  # noqa: S104 - to be ignored
        serving.wait_for("published")
        assert serving.stop().code == EXIT_CODES["withdrawn"]


def test_a_backend_that_comes_back_with_a_second_door_is_withdrawn(member: Service) -> None:
    with Backend() as first, member.serve(SERVE=f"http/={first.port}") as serving:
        serving.wait_for("published")
        port = first.port
        with Backend(host="0.0.0.0", port=_freed(first)):  # noqa: S104 - to be refused
            done = serving.end()
    assert done.code == EXIT_CODES["beyond loopback"]
    assert str(port) in done.reason
    assert member.published() == {}


def _freed(backend: Backend) -> int:
    """The port of a backend that has ended."""
    backend.__exit__(None, None, None)
    return backend.port


def test_refuses_a_name_that_another_node_has(service: Service, backend: Backend, reader: Sidecar) -> None:
    del reader
    done = service.refuses(SERVE=f"http/={backend.port}", TAILNET_NAME="reader")
    assert done.code == EXIT_CODES["name"]
    assert "not reader: another node has, or had, that name" in done.reason
    assert service.published() == {}


def test_refuses_when_tailscaled_does_not_publish(member: Service, backend: Backend) -> None:
    """There are no certificates of headscale's, so https is turned down."""
    done = member.refuses(SERVE=f"tcp:9={backend.port},https/={backend.port}")
    assert done.code == EXIT_CODES["publish"]
    assert done.reason.startswith(f"tailscaled refuses to serve https/={backend.port}: ")
    assert member.published() == {}


@SHELLS
def test_notices_what_was_not_asked_for(member: Service, backend: Backend, sh: str) -> None:
    with member.serve(sh=sh, SERVE=f"http/={backend.port}") as serving:
        serving.wait_for("published")
        member.sidecar.tailscale("serve", "--bg", "--tcp=7", "tcp://127.0.0.1:9")
        done = serving.end()
    assert done.code == EXIT_CODES["differs"]
    assert done.reason == "published, but not asked for: TCP|7|TCPForward|127.0.0.1:9"
    assert member.published() == {}


@SHELLS
def test_notices_that_serve_is_gone(member: Service, backend: Backend, sh: str) -> None:
    with member.serve(sh=sh, SERVE=f"http/={backend.port}") as serving:
        serving.wait_for("published")
        member.sidecar.tailscale("serve", "reset")
        done = serving.end()
    assert done.code == EXIT_CODES["differs"]
    assert done.reason == "asked for, but not published: TCP|80|HTTP|true"


def test_notices_another_target(member: Service, backend: Backend) -> None:
    with member.serve(SERVE=f"http/={backend.port}") as serving:
        serving.wait_for("published")
        member.sidecar.tailscale("serve", "--bg", "--http=80", "http://127.0.0.1:9")
        assert serving.end().code == EXIT_CODES["differs"]


def test_notices_funnel(member: Service, backend: Backend) -> None:
    with member.serve(SERVE=f"http/={backend.port}") as serving:
        serving.wait_for("published")
        _set_serve_config(member, {**member.published(), "AllowFunnel": {"member.tailnet.test:80": True}})
        done = serving.end()
    assert done.code == EXIT_CODES["funnel"]
    assert done.reason == "Funnel is on: what is served would be open to the internet"
    assert member.published() == {}


def _set_serve_config(service: Service, config: dict[str, object]) -> None:
    """As an administrator's own program would: the command line asks the control server for leave first."""
    body = json.dumps(config)
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(10)
        stream.connect(str(service.sidecar.socket))
        head = (
            "POST /localapi/v0/serve-config HTTP/1.1\r\nHost: local-tailscaled.sock\r\nConnection: close\r\n"
        )
        stream.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        assert b" 200 " in stream.recv(4096).split(b"\r\n", 1)[0]


def test_notices_that_the_node_is_no_longer_in_the_tailnet(service: Service, backend: Backend) -> None:
    with service.serve(SERVE=f"http/={backend.port}") as serving:
        serving.wait_for("published")
        node = service.headscale.nodes()[service.name]["id"]
        service.headscale.run("nodes", "expire", "-i", str(node))
        done = serving.end()
    assert done.code == EXIT_CODES["gone"]
    assert done.reason == "the node is not in the tailnet any more: it is in state NeedsLogin"


@SHELLS
def test_notices_that_tailscaled_is_gone(service: Service, backend: Backend, sh: str) -> None:
    with service.serve(sh=sh, SERVE=f"http/={backend.port}", PUBLISH_TIMEOUT="2") as serving:
        serving.wait_for("published")
        service.sidecar.kill_daemon(signal.SIGKILL)
        done = serving.end()
    assert done.code == EXIT_CODES["gone"]
    assert done.reason.startswith("tailscaled does not answer any more: ")


@SHELLS
def test_is_told_to_stop_before_there_is_anything_to_withdraw(service: Service, sh: str) -> None:
    with service.serve(sh=sh, SERVE=f"http/={free_port()}") as serving:
        # It has asked tailscaled who it is, and looks for its backend now.
        eventually(
            lambda: list((service.folder / "local").glob("serve.*/out")), seconds=10, what="it is at work"
        )
        done = serving.stop()
    assert (done.code, done.out, done.err) == (EXIT_CODES["withdrawn"], "", "")


@SHELLS
def test_is_heard_although_output_is_led_to_a_file(
    member: Service, backend: Backend, tmp_path: Path, sh: str
) -> None:
    """Told to stop while it compares what is published, through an `awk` that waits to be let go."""
    at_work, go_on = tmp_path / "at-work", tmp_path / "go-on"
    os.mkfifo(go_on)
    awk = tmp_path / "awk"
    awk.write_text(
        f"#!/bin/sh\ncase $1 in *RLENGTH*) : >{at_work}; read -r _ <{go_on} ;; esac\n"
        f'exec {shutil.which("awk")} "$@"\n'
    )
    awk.chmod(0o755)
    path = f"{tmp_path}:{member.sidecar.environment['PATH']}"
    with member.serve(sh=sh, SERVE=f"http/={backend.port}", PATH=path) as serving:
        go_on.write_text("\n")
        serving.wait_for("published")
        at_work.unlink()
        eventually(at_work.exists, seconds=10, what="it looks again")
        serving.popen.terminate()
        go_on.write_text("\n")
        done = serving.end()
    assert (done.code, done.err) == (EXIT_CODES["withdrawn"], "")
    assert done.out.endswith("serve: withdrawn\n")


def test_says_when_it_cannot_withdraw(service: Service, backend: Backend) -> None:
    with service.serve(SERVE=f"http/={backend.port}", PUBLISH_TIMEOUT="1", WATCH_INTERVAL="60") as serving:
        serving.wait_for("published")
        daemon = service.sidecar.daemon()
        os.kill(daemon, signal.SIGSTOP)
        try:
            done = serving.stop()
        finally:
            os.kill(daemon, signal.SIGCONT)
    assert done.code == EXIT_CODES["not withdrawn"]
    assert done.reason.startswith("told to stop, but Serve could not be withdrawn")


def _services(folder: Path, endpoints: dict[str, str]) -> str:
    file = folder / "services.json"
    file.write_text(json.dumps({"version": "0.0.1", "services": {"svc:web": {"endpoints": endpoints}}}))
    return str(file)


@SHELLS
def test_publishes_services_from_a_file(member: Service, backend: Backend, tmp_path: Path, sh: str) -> None:
    file = _services(
        tmp_path,
        {"tcp:80": f"http://127.0.0.1:{backend.port}", "tcp:5432": f"tcp://127.0.0.1:{backend.port}"},
    )
    with member.serve(sh=sh, SERVE_CONFIG=file) as serving:
        assert serving.wait_for("published").startswith("serve: published: svc:web (backends")
        (name,) = member.published()["Services"]
        assert name == "svc:web"
        assert '"svc:web"' in member.sidecar.tailscale("debug", "prefs").stdout
        done = serving.stop()
    assert (done.code, done.err) == (EXIT_CODES["withdrawn"], "")
    assert member.published() == {}
    assert '"svc:web"' not in member.sidecar.tailscale("debug", "prefs").stdout


def _socket(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


@SHELLS
def test_publishes_a_service_whose_backend_is_a_socket(member: Service, tmp_path: Path, sh: str) -> None:
    path = tmp_path / "web.sock"
    file = _services(tmp_path, {"tcp:80": f"http://unix:{path}"})
    with member.serve(sh=sh, SERVE_CONFIG=file) as serving, _socket(path):
        assert serving.wait_for("published") == f"serve: published: svc:web (backends: {path})\n"
        done = serving.stop()
    assert (done.code, done.err) == (EXIT_CODES["withdrawn"], "")
    assert member.published() == {}


def test_refuses_a_socket_that_does_not_come_and_does_not_join(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    file = _services(tmp_path, {"tcp:80": f"http://unix:{path}"})
    with service.serve(SERVE_CONFIG=file, BACKEND_TIMEOUT="0") as serving:
        done = serving.end()
    assert done.code == EXIT_CODES["backend"]
    assert done.reason == f"there is no socket {path} after 0 s"


def test_notices_a_change_of_a_service(member: Service, backend: Backend, tmp_path: Path) -> None:
    file = _services(tmp_path, {"tcp:80": f"http://127.0.0.1:{backend.port}"})
    with member.serve(SERVE_CONFIG=file) as serving:
        serving.wait_for("published")
        member.sidecar.tailscale("serve", "--service=svc:web", "--tcp=9", "tcp://127.0.0.1:1")
        done = serving.end()
    assert done.code == EXIT_CODES["differs"]
    assert done.reason == 'published, but not asked for: "svc:web" "tcp:9":"tcp://127.0.0.1:1"'


@pytest.mark.parametrize(
    ("endpoints", "said"),
    [
        ({"tcp:9000": "http://127.0.0.1:9000"}, "port 9000 is served, and the backend's own"),
        ({"tcp:80": "http://192.0.2.1:9000"}, "leads tcp:80 to http://192.0.2.1:9000, which is not"),
        ({"tcp:80": "http://localhost:9000"}, "leads tcp:80 to http://localhost:9000, which is not"),
        ({}, "publishes no Service"),
    ],
)
def test_refuses_a_file_that_leads_elsewhere(tmp_path: Path, endpoints: dict[str, str], said: str) -> None:
    done = _alone(tmp_path, SERVE_CONFIG=_services(tmp_path, endpoints))
    assert done.code == EXIT_CODES["setting"]
    assert said in done.reason
