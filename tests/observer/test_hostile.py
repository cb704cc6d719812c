"""Hostile callers over loopback: each comes to its end, and nobody else takes harm."""

import socket
import ssl
import struct
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from harness.management.waiting import wait_until
from tests.observer.programs import BEARER, TOKEN, Running, call, get, observer, to_the_end


def test_a_head_that_comes_slowly_is_given_up(own: Running) -> None:
    began = time.monotonic()
    with call(own, "http") as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        try:
            while time.monotonic() - began < 40:
                connection.sendall(b"X-A: b\r\n")
                connection.settimeout(0.2)
                try:
                    if connection.recv(1) == b"":
                        break
                except TimeoutError:
                    continue
        except OSError:
            pass
    assert 9 < time.monotonic() - began < 30
    assert get(own, "/").text == "127.0.0.1\n"


@pytest.mark.parametrize("scheme", ["http", "https", "tcp"])
def test_who_says_nothing_is_given_up(running: Running, scheme: str) -> None:
    began = time.monotonic()
    with call(running, scheme) as connection:
        assert to_the_end(connection) == b""
    assert 9 < time.monotonic() - began < 20


def test_who_stays_idle_is_given_up_and_may_come_again(running: Running) -> None:
    with call(running, "http") as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        began = time.monotonic()
        assert to_the_end(connection).endswith(b"127.0.0.1\n")
    assert 9 < time.monotonic() - began < 20


def test_an_answer_that_nobody_takes_is_given_up(own: Running) -> None:
    with httpx.Client(base_url=own.url("http"), trust_env=False) as caller:
        for _ in range(1500):
            caller.get("/", headers={"User-Agent": "x" * 500})
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", own.ports["http"]))
        request = f"GET /observer/book HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        connection.sendall(request * 20)
        wait_until(lambda: threads(own) > 5, seconds=10, what="somebody is served")
        wait_until(lambda: threads(own) == 5, seconds=40, what="everybody is gone")


def threads(running: Running) -> int:
    """One that waits for signals, and one for each of four protocols, but for those that serve."""
    return len(list(Path(f"/proc/{running.process.pid}/task").iterdir()))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + b"X-A: " + b"b" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 5_000 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 150 + b"\r\n", b"431"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1 x\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400"),
        (b"SPEAK / HTTP/1.1\r\n\r\n", b"501"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
    ],
    ids=["long header", "many headers", "too many", "long line", "no version", "TLS", "method", "version"],
)
def test_a_head_that_is_none_is_refused(running: Running, scheme: str, head: bytes, status: bytes) -> None:
    with ExitStack() as stack:
        connection: socket.socket = stack.enter_context(call(running, scheme))
        if scheme == "https":
            connection = stack.enter_context(
                running.trust.wrap_socket(connection, server_hostname="127.0.0.1")
            )
        try:
            connection.sendall(head)
        except OSError:  # it was refused before its end
            return
        said = to_the_end(connection)
    # A reset may overtake the answer, where more was sent than was read.
    assert not said or status in said[:200]
    assert said or len(head) > 16_000


def test_a_handshake_that_goes_wrong_harms_nobody(running: Running) -> None:
    with call(running, "https") as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        to_the_end(connection)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with call(running, "https") as connection, pytest.raises(ssl.SSLError):
        old.wrap_socket(connection, server_hostname="127.0.0.1")
    assert get(running, "/", "https").text == "127.0.0.1\n"


def test_who_resets_harms_nobody(running: Running) -> None:
    for scheme in ("http", "https", "tcp"):
        for _ in range(50):
            connection = call(running, scheme)
            connection.sendall(b"GET / HT")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
    assert get(running, "/").text == "127.0.0.1\n"


def test_thousands_of_connections_leave_room_for_others(tmp_path: Path) -> None:
    # All of loopback's 127/8 is this machine's own: so there can be many callers.
    with observer(tmp_path, "--at-once", "100", "--of-one", "20") as running, ExitStack() as held:
        before = get(running, "/observer/about", **BEARER).json()["newest"]
        for _ in range(3000):
            connection = socket.socket()
            held.callback(connection.close)
            connection.settimeout(20)
            connection.bind(("127.0.0.2", 0))
            connection.connect(("127.0.0.1", running.ports["http"]))
        # Another one is served meanwhile, and at once.
        began = time.monotonic()
        assert get(running, "/?token=meanwhile").text == "127.0.0.1\n"
        assert time.monotonic() - began < 5
        assert threads(running) <= 5 + 100
        page = get(running, f"/observer/book?after={before}&token=meanwhile", **BEARER).json()
        assert [line["token"] for line in page["lines"]] == ["meanwhile"]
        # Nobody can say that nothing came: so many were not heard.
        assert page["turned_away"] == 3000 - 20
        wait_until(lambda: threads(running) == 5, seconds=30, what="those that say nothing are gone")


def test_everything_taken(tmp_path: Path) -> None:
    with observer(tmp_path, "--at-once", "10", "--of-one", "4") as running, ExitStack() as held:
        for last in (2, 3, 4):
            for _ in range(4):
                connection = held.enter_context(socket.socket())
                connection.bind((f"127.0.0.{last}", 0))
                connection.connect(("127.0.0.1", running.ports["http"]))
        with pytest.raises(httpx.TransportError):
            get(running, "/")
        # Each protocol has doors of its own.
        assert get(running, "/", "https").text == "127.0.0.1\n"
        page = get(running, "/observer/book", "https", **BEARER).json()
        assert page["turned_away"] == 3
