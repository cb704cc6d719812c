"""The observer for real on loopback: what everybody is answered, and what the token opens."""

import json
import os
import signal
import socket
from pathlib import Path

import httpx
import pytest

from harness.management.waiting import wait_until
from tests.observer.programs import (
    BEARER,
    TOKEN,
    Running,
    call,
    get,
    seen,
    to_the_end,
)

HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"], ids=["IPv4", "IPv6"])


@HOSTS
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("path", ["/", "/any/path", "/observer", "/observation/x", "/lies/1"])
def test_any_path_gives_the_callers_address(running: Running, scheme: str, host: str, path: str) -> None:
    answer = httpx.get(running.url(scheme, host, path), verify=running.trust, trust_env=False)
    assert answer.text == f"{host}\n"
    assert answer.headers["Server"].startswith("notailcar-observer/")
    assert "Python" not in answer.headers["Server"]


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("203.0.113.66", "203.0.113.66"),
        ("2001:db8::66", "2001:db8::66"),
        ("2001:DB8:0:0::66", "2001:db8::66"),
        ("::ffff:203.0.113.66", "203.0.113.66"),
    ],
)
def test_a_lie_for_one_caller(running: Running, address: str, told: str) -> None:
    token = f"lie-{address.replace(':', '-')}"
    assert get(running, f"/lie/{address}?token={token}").text == f"{told}\n"
    (line,) = seen(running, token)
    assert (line["told"], line["peer"]) == (told, "127.0.0.1")
    assert get(running, "/").text == "127.0.0.1\n"


@pytest.mark.parametrize(
    "address", ["", "x", "203.0.113.66/", "203.0.113", "203.0.113.66%0a", "fe80::1%25eth0", "1", "<b>"]
)
def test_a_lie_that_is_no_address(running: Running, address: str) -> None:
    answer = get(running, f"/lie/{address}?token=bad-lie")
    assert answer.status_code == 400
    assert seen(running, "bad-lie")[-1]["told"] == "127.0.0.1"


def test_what_a_proxy_says_of_its_caller_is_not_believed(running: Running) -> None:
    forged = {
        "X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9", "Forwarded": "for=203.0.113.9",
    }  # fmt: skip
    assert get(running, "/?token=forged", **forged).text == "127.0.0.1\n"
    assert seen(running, "forged")[0]["peer"] == "127.0.0.1"
    about = get(running, "/observer/about", **forged, **BEARER).json()
    assert (about["you"], about["forwarded"]) == ("127.0.0.1", ["Forwarded", "X-Forwarded-For", "X-Real-IP"])


def test_the_feed_of_events(running: Running) -> None:
    assert [event["id"] for event in get(running, "/events?after=3").json()["events"]] == [4, 5, 6]
    assert get(running, f"/events?after={'9' * 5000}").status_code == 400


@HOSTS
def test_lines_over_tcp(running: Running, host: str) -> None:
    with call(running, "tcp", host) as connection, connection.makefile("rb") as answers:
        for token in (b"one", b"two"):
            connection.sendall(token + b"\n")
            assert answers.readline() == host.encode() + b" " + token + b"\n"


def datagram(running: Running, data: bytes, port: int = 0, host: str = "127.0.0.1") -> bytes:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as caller:
        caller.bind((host, port))
        caller.sendto(data, (host, running.ports["udp"]))
        caller.settimeout(0.5)
        try:
            return caller.recv(1000)
        except TimeoutError:
            return b""


@HOSTS
def test_datagrams(running: Running, host: str) -> None:
    assert datagram(running, b"a-datagram", host=host) == f"{host} a-datagram\n".encode()


def test_a_datagram_is_not_made_much_longer(running: Running) -> None:
    assert datagram(running, b"u-2") == b""  # 14 bytes for 3
    assert seen(running, "u-2")[0]["protocol"] == "udp"
    assert datagram(running, b"") == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="takes a port of a service")
def test_no_service_is_answered(running: Running) -> None:
    assert datagram(running, b"from-a-service", port=1007) == b""
    assert seen(running, "from-a-service")[0]["peer_port"] == 1007


def test_datagrams_that_the_kernel_dropped_are_missed(own: Running) -> None:
    own.process.send_signal(signal.SIGSTOP)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
            for _ in range(20_000):
                caller.sendto(b"x" * 400, ("127.0.0.1", own.ports["udp"]))
    finally:
        own.process.send_signal(signal.SIGCONT)
    # Without another datagram: there may be none.
    assert get(own, "/observer/book", **BEARER).json()["turned_away"] > 1000

    def all_of_it() -> bool:
        page = get(own, "/observer/book", **BEARER).json()
        return bool(page["turned_away"] + page["newest"] == 20_000)

    wait_until(all_of_it, seconds=30, what="what was heard and what was not is all that came")


def test_a_request_is_in_the_book_whatever_is_wrong_with_its_rest(running: Running) -> None:
    for number, head in enumerate(
        (
            b"POST /?token=odd-0 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"POST /?token=odd-1 HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"POST /?token=odd-2 HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
            b"POST /?token=odd-3 HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
            b"PATCH /?token=odd-4 HTTP/1.1\r\nConnection: close\r\n\r\n",
            b"GET /?token=odd-5 HTTP/1.0\r\n\r\n",
            b"GET http://[/odd-6 HTTP/1.1\r\nConnection: close\r\n\r\n",
        )
    ):
        with call(running, "http") as connection:
            connection.sendall(head)
            status = to_the_end(connection).split()[1]
        assert status == (b"411", b"400", b"413", b"400", b"200", b"200", b"200")[number]
        assert len(seen(running, f"odd-{number}")) == 1


def test_json_of_its_lines_is_what_the_lab_writes(running: Running) -> None:
    get(running, "/?token=as-the-lab")
    with (running.folder / "book" / "seen.jsonl").open() as book:
        (line,) = [each for each in map(json.loads, book) if "as-the-lab" in each.values()]
    assert list(line) == [
        "number", "at", "protocol", "peer", "peer_port", "local", "token", "agent", "target", "told",
    ]  # fmt: skip


def test_what_a_token_opens(running: Running) -> None:
    for path, status in (("/observer/about", 200), ("/observer/book", 200), ("/observer/x", 404)):
        assert get(running, path, "https", **BEARER).status_code == status
        refused = get(running, path, "https", Authorization="Bearer wrong")
        assert (refused.status_code, refused.headers["Connection"]) == (401, "close")


def test_what_its_holder_asks_is_in_no_book(running: Running) -> None:
    get(running, "/observer/book?token=my-own", **BEARER)
    assert seen(running, "my-own") == []
    book = (running.folder / "book" / "seen.jsonl").read_text()
    assert TOKEN not in book


def test_the_book_is_nobody_elses_to_read(running: Running) -> None:
    assert (running.folder / "book" / "seen.jsonl").stat().st_mode & 0o777 == 0o600


def test_no_token_is_in_the_process_list(running: Running) -> None:
    for name in ("cmdline", "environ"):
        shown = Path(f"/proc/{running.process.pid}/{name}").read_bytes()
        assert TOKEN.encode() not in shown
    assert b"token" in Path(f"/proc/{running.process.pid}/cmdline").read_bytes()  # its file is


def test_a_body_of_who_has_no_token_is_not_read(running: Running) -> None:
    with call(running, "http") as connection:
        connection.sendall(b"POST /observer/probe HTTP/1.1\r\nContent-Length: 200000\r\n\r\n")
        assert to_the_end(connection).startswith(b"HTTP/1.1 401 ")
