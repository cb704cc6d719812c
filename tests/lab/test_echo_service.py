"""The echo service, for real, on this machine's loopback."""

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme

from harness.lab import echo_book
from harness.lab.echo_book import EchoLine
from harness.run import places

HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"], ids=["IPv4", "IPv6"])


@dataclass(frozen=True)
class Service:
    """Where it listens, and its files."""

    ports: dict[str, int]
    book: Path
    lie: Path
    trust: ssl.SSLContext

    def last(self) -> EchoLine:
        return echo_book.read(self.book.read_text(encoding="utf-8"))[-1]

    def get(self, url: str, **headers: str) -> str:
        return httpx.get(url, headers=headers, verify=self.trust, timeout=5, trust_env=False).text

    def url(self, scheme: str, host: str, path: str = "/") -> str:
        shown = f"[{host}]" if ":" in host else host
        return f"{scheme}://{shown}:{self.ports[scheme]}{path}"


def free_ports() -> dict[str, int]:
    """Ports that nobody listens on, TCP and UDP."""
    taken = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM):
        held = socket.socket(socket.AF_INET6, kind)
        held.bind(("::", 0))
        taken.append(held)
    ports = [held.getsockname()[1] for held in taken]
    for held in taken:
        held.close()
    return dict(zip(("http", "https", "tcp", "udp"), ports, strict=True))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("echo")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "::1")
    certificate, key = folder / "tls.pem", folder / "tls.key"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    ports = free_ports()
    made = Service(ports, folder / "below" / "seen.jsonl", folder / "lie", trust)
    argv = [str(made.book), str(made.lie), *map(str, ports.values()), str(certificate), str(key)]
    process = subprocess.Popen(
        [sys.executable, str(places.fixtures() / "echo" / "echo.py"), *argv],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "listening\n"
        yield made
    finally:
        process.kill()
        process.communicate()


@HOSTS
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_request_is_told_who_it_came_from(service: Service, scheme: str, host: str) -> None:
    url = service.url(scheme, host, "/any/path?token=t-1")
    assert service.get(url, **{"User-Agent": "probe/1"}) == f"{host}\n"
    seen = service.last().request
    assert (seen.protocol, seen.peer, seen.local, seen.token) == (scheme, host, host, "t-1")
    assert seen.agent == "probe/1"
    assert seen.target == "GET " + url.partition("?")[0]


def test_a_certificate_of_nobody_is_refused(service: Service) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(service.url("https", "127.0.0.1"), trust_env=False)
    assert service.get(service.url("https", "127.0.0.1")) == "127.0.0.1\n"


def test_json(service: Service) -> None:
    answer = json.loads(service.get(service.url("http", "127.0.0.1", "/json?token=t-2")))
    assert answer == {"ip": "127.0.0.1", "token": "t-2"}


def test_a_feed_of_events_that_is_read_in_pages(service: Service) -> None:
    def page(after: int) -> list[dict[str, object]]:
        answer = json.loads(service.get(service.url("https", "127.0.0.1", f"/events?after={after}")))
        events: list[dict[str, object]] = answer["events"]
        return events

    assert [[event["id"] for event in page(after)] for after in (0, 3, 10, 12)] == [
        [1, 2, 3],
        [4, 5, 6],
        [11, 12],
        [],
    ]
    assert page(0)[0] == {"id": 1, "type": "order.paid", "data": {"order": 1001}}
    assert service.last().request.target.endswith("/events")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/events/3/ack", 200),
        ("GET", "/events/3/ack", 404),
        ("POST", "/events/0/ack", 404),
        ("POST", "/events/13/ack", 404),
        ("GET", "/events?after=-1", 400),
        ("GET", "/events?after=", 200),
    ],
)
def test_an_acknowledgement_is_in_the_book(service: Service, method: str, path: str, status: int) -> None:
    url = service.url("http", "127.0.0.1", path)
    headers = {"X-Request-Token": "ack-1"}
    answer = httpx.request(method, url, headers=headers, timeout=5, trust_env=False)
    assert answer.status_code == status
    assert isinstance(answer.json(), dict)
    seen = service.last().request
    assert (seen.token, seen.target) == ("ack-1", f"{method} {url.partition('?')[0]}")


@pytest.mark.parametrize(
    ("path", "headers", "token"),
    [
        ("/?token=query", {}, "query"),
        ("/", {"X-Request-Token": "header"}, "header"),
        ("/?token=query", {"X-Request-Token": "header"}, "header"),
        ("/?token=a%20b&token=c", {}, "a b"),
        ("/?other=x", {}, ""),
        ("/", {}, ""),
    ],
)
def test_forms_of_a_token(service: Service, path: str, headers: dict[str, str], token: str) -> None:
    service.get(service.url("http", "127.0.0.1", path), **headers)
    assert service.last().request.token == token


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_other_methods(service: Service, method: str) -> None:
    with httpx.Client(trust_env=False) as client:
        for _ in range(2):  # on one connection, so that a body left unread would show
            answer = client.request(method, service.url("http", "127.0.0.1"), content=b"x" * 5000)
            assert answer.content == (b"" if method == "HEAD" else b"127.0.0.1\n")
    assert service.last().request.target.startswith(f"{method} http://127.0.0.1")


def exchange(family: socket.AddressFamily, host: str, port: int, *lines: bytes) -> list[bytes]:
    with socket.socket(family, socket.SOCK_STREAM) as caller:
        caller.settimeout(5)
        caller.connect((host, port))
        answers = caller.makefile("rb")
        told = []
        for line in lines:
            caller.sendall(line)
            told.append(answers.readline())
        return told


@HOSTS
def test_tcp_answers_line_by_line(service: Service, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    told = exchange(family, host, service.ports["tcp"], b"one\n", b"two\n")
    assert told == [f"{host} one\n".encode(), f"{host} two\n".encode()]
    seen = service.last().request
    assert (seen.protocol, seen.peer, seen.local, seen.token) == ("tcp", host, host, "two")


@HOSTS
def test_udp(service: Service, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as caller:
        caller.settimeout(5)
        caller.sendto(b"three\n", (host, service.ports["udp"]))
        assert caller.recv(100) == f"{host} three\n".encode()
    seen = service.last().request
    assert (seen.protocol, seen.peer, seen.token) == ("udp", host, "three")


def test_bytes_that_are_no_text_are_written_down_too(service: Service) -> None:
    assert exchange(socket.AF_INET, "127.0.0.1", service.ports["tcp"], b"\xff\xfe\n")
    assert service.last().request.token == "\ufffd" * 2


def test_a_lie_is_told_while_there_is_one(service: Service) -> None:
    service.lie.write_text("203.0.113.66\n")
    try:
        assert service.get(service.url("http", "127.0.0.1")) == "203.0.113.66\n"
        lied = service.last()
        assert (lied.told, lied.request.peer, lied.lied_to) == ("203.0.113.66", "127.0.0.1", True)
        told = exchange(socket.AF_INET, "127.0.0.1", service.ports["tcp"], b"x\n")
        assert told == [b"203.0.113.66 x\n"]
    finally:
        service.lie.unlink()
    assert service.get(service.url("http", "127.0.0.1")) == "127.0.0.1\n"
    assert not service.last().lied_to


def test_callers_at_once_are_all_in_the_book(service: Service) -> None:
    def call(number: int) -> str:
        scheme = ("http", "https")[number % 2]
        return service.get(service.url(scheme, "127.0.0.1", f"/?token=crowd-{number}"))

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(call, range(60))) == {"127.0.0.1\n"}
    lines = echo_book.read(service.book.read_text(encoding="utf-8"))
    crowd = {line.request.token for line in lines if line.request.token.startswith("crowd-")}
    assert crowd == {f"crowd-{n}" for n in range(60)}


def test_a_caller_that_says_nothing_keeps_nobody_waiting(service: Service) -> None:
    silent = [socket.create_connection(("127.0.0.1", service.ports[s]), 5) for s in ("http", "https", "tcp")]
    try:
        for scheme in ("http", "https"):
            assert service.get(service.url(scheme, "127.0.0.1")) == "127.0.0.1\n"
    finally:
        for connection in silent:
            connection.close()
