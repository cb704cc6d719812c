"""The uplink: whom it lets through to where, by its own words and over real sockets."""

import asyncio
import http.client
import importlib.util
import ipaddress
import os
import signal
import socket
import stat
import string
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Self

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.toolkit import programs
from tests.toolkit.tailnet import eventually, free_port

LOGIN = "https://control.example.com"
NAME = st.from_regex(
    r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]([a-z0-9-]{0,10}[a-z0-9])?){1,4}", fullmatch=True
)
PORT = st.integers(1, 65535)
NOBODY = 65534


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("uplink", programs.UPLINK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["uplink"] = module
    spec.loader.exec_module(module)
    return module


uplink = _load()


def allows(allow: str, asked: str) -> bool:
    """Whether `CONNECT asked` is let through, with an allowlist beside the login server."""
    target = uplink.asked_for(f"CONNECT {asked} HTTP/1.1\r\n\r\n".encode())
    return bool(target and uplink.read_allowlist(LOGIN, allow).allows(target))


# -- whom the allowlist means


@given(NAME, PORT)
def test_without_an_entry_only_the_login_server_is_reached(name: str, port: int) -> None:
    assert allows("", f"{name}:{port}") == ((name, port) == ("control.example.com", 443))


@given(NAME, PORT, NAME, PORT)
def test_an_entry_is_itself_and_nothing_else(name: str, port: int, other: str, another: int) -> None:
    assume((other, another) not in {(name, port), ("control.example.com", 443)})
    assert allows(f"{name}:{port}", f"{name.upper()}:{port}")
    assert not allows(f"{name}:{port}", f"{other}:{another}")


@given(NAME, st.text(string.ascii_lowercase + string.digits + ".-_@:/\\%*\t \r\n\0é", min_size=1, max_size=8))
def test_nothing_put_before_or_after_a_name_is_still_the_name(name: str, more: str) -> None:
    for asked in (f"{more}{name}", f"{name}{more}", f"{name}.{more}", f"{more}.{name}"):
        assume(asked not in {name, "control.example.com"})
        assert not allows(f"{name}:443", f"{asked}:443")


@given(st.from_regex(r"[a-z0-9-]{0,12}", fullmatch=True), NAME)
def test_a_star_stands_within_one_label(part: str, name: str) -> None:
    wanted = f"relay{part}.example.net"
    assert allows("relay*.example.net:443", f"{wanted}:443") == (not part.endswith("-"))
    assert not allows("relay*.example.net:443", f"relay{part}.{name}.example.net:443")
    assert not allows("relay*.example.net:443", f"relay{part}.example.net.{name}:443")
    assert not allows("relay*.example.net:443", f"{wanted}:80")


@given(st.ip_addresses(), st.ip_addresses(), PORT)
def test_an_address_is_reached_where_it_is_listed_and_by_no_pattern(
    listed: ipaddress.IPv4Address | ipaddress.IPv6Address,
    other: ipaddress.IPv4Address | ipaddress.IPv6Address,
    port: int,
) -> None:
    def shown(address: ipaddress.IPv4Address | ipaddress.IPv6Address, text: str) -> str:
        return f"[{text}]:{port}" if address.version == 6 else f"{text}:{port}"

    for text in {str(listed), listed.exploded}:
        assert allows(shown(listed, str(listed)), shown(listed, text))
    assume(other != listed)
    assert not allows(f"{shown(listed, str(listed))},*.0.0.x:{port}", shown(other, str(other)))


@pytest.mark.parametrize(
    "asked",
    [
        "control.example.com.:443",
        "control.example.com:0443 ",
        "control.example.com:443:443",
        "control.example.com@evil.test:443",
        "evil.test#control.example.com:443",
        "control.example.com%00.evil.test:443",
        "2130706433:443",
        "0x7f000001:443",
        "127.1:443",
        "[::ffff:127.0.0.1]:443",
        "localhost:443",
        ":443",
        "control.example.com:65979",
        "control.example.com:٤٤٣",
    ],
)
def test_what_others_might_take_for_it_is_not_it(asked: str) -> None:
    assert not allows("derp*.tailscale.com:443", asked)


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://control.example.com/ HTTP/1.1\r\n\r\n",
        b"CONNECT control.example.com:443 HTTP/2\r\n\r\n",
        b"connect control.example.com:443 HTTP/1.1\r\n\r\n",
        b"CONNECT  control.example.com:443 HTTP/1.1\r\n\r\n",
        b"CONNECT control.example.com HTTP/1.1\r\n\r\n",
        b"\r\nCONNECT control.example.com:443 HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_connect_has_no_target(head: bytes) -> None:
    assert uplink.asked_for(head) is None


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail(head: bytes) -> None:
    uplink.asked_for(head)
    uplink.asked_for(b"CONNECT " + head + b" HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(
    "allow",
    ["*:443", "*.com:443", "*.*.example.com:443", "a.*.example.com:443", "example.com", "example.com:0",
     "example.com:443/x", "exa mple.com", "https://example.com:443", "127.1:443", "**.example.com:443"],
)  # fmt: skip
def test_an_entry_that_is_too_wide_or_none_is_refused(allow: str) -> None:
    with pytest.raises(uplink.SettingError, match="UPLINK_ALLOW"):
        uplink.read_allowlist(LOGIN, allow)


@pytest.mark.parametrize(
    "server", ["", "http://control.example.com", "control.example.com", "https://", "https://a:b"]
)
def test_a_login_server_that_is_no_https_url_is_refused(server: str) -> None:
    with pytest.raises(uplink.SettingError, match="LOGIN_SERVER"):
        uplink.read_allowlist(server, "")


# -- over real sockets


class Echo:
    """Owns a TCP server that sends back what it gets, until the sender has finished."""

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                while piece := connection.recv(65536):
                    connection.sendall(piece)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Ends:
    """Owns both ends of an uplink, on one loopback; `allow` is what the outer one is told."""

    def __init__(self, folder: Path, allow: str, command: tuple[str, ...] = ("sleep", "60")) -> None:
        """Choose the shared folder, and what runs beside the inner end."""
        self.port, self.health = free_port(), free_port()
        self.folder = folder
        self._command = command
        self._environment = {
            "PATH": os.environ["PATH"],
            "NOMAD_ALLOC_DIR": str(folder),
            "LOGIN_SERVER": LOGIN,
            "UPLINK_ALLOW": allow,
            "UPLINK_PORT": str(self.port),
        }

    def _start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, programs.UPLINK, *arguments],
            env={**self._environment, **more},
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        # On one loopback, the check's port cannot be both ends': the outer one alone has it here.
        self.outside = self._start("outside", NOMAD_PORT_health=str(self.health))
        self.inside = self._start("inside", *self._command)
        for port in (self.port, self.health):
            eventually(partial(_listens, port), seconds=10, what="it listens")
        eventually((self.folder / "uplink/uplink.sock").exists, seconds=10, what="its socket is there")
        return self

    def connect(self, target: str, *, half: bytes = b"") -> tuple[int, socket.socket]:
        """CONNECT through both: the status (0 for none), and the connection."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode() + half)
        head = b""
        while b"\r\n\r\n" not in head and (piece := connection.recv(1)):
            head += piece
        return int(head.split()[1]) if head else 0, connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (self.inside, self.outside):
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=15)


def _send_all(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        yield server


def test_bytes_go_both_ways_to_who_is_allowed_and_to_nobody_else(tmp_path: Path, echo: Echo) -> None:
    with Echo() as other, Ends(tmp_path, f"127.0.0.1:{echo.port}") as ends:
        sent = os.urandom(1 << 20)
        status, connection = ends.connect(f"127.0.0.1:{echo.port}", half=sent[:100])
        with closing(connection):
            assert status == 200
            sender = threading.Thread(target=_send_all, args=(connection, sent[100:]))
            sender.start()
            got = b"".join(iter(partial(connection.recv, 65536), b""))
            sender.join()
        assert got == sent
        for target, expected in (
            (f"127.0.0.1:{other.port}", 403),
            (f"localhost:{echo.port}", 403),
            ("x", 400),
        ):
            status, connection = ends.connect(target)
            connection.close()
            assert status == expected
        ends.outside.send_signal(signal.SIGTERM)
        said = ends.outside.communicate(timeout=10)[0]
        assert said.splitlines() == [
            f"uplink: refused: 127.0.0.1:{other.port} is not allowed",
            f"uplink: refused: localhost:{echo.port} is not allowed",
        ]


def test_small_packets_do_not_wait_for_each_other() -> None:
    """They would for 40 ms (RFC 896 with RFC 1122, 4.2.3.2); asyncio sets the option where it knows TCP."""
    seen: list[int] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    async def connect(port: int) -> None:
        await uplink.Door(uplink.listen_on(port), serve).open()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()

    asyncio.run(connect(free_port()))
    assert seen == [1]


def test_who_is_away_is_said_to_be(tmp_path: Path) -> None:
    gone = free_port()
    with Ends(tmp_path, f"127.0.0.1:{gone}") as ends:
        status, connection = ends.connect(f"127.0.0.1:{gone}")
        connection.close()
        assert status == 502


def test_its_sockets_are_its_own_users(tmp_path: Path) -> None:
    with Ends(tmp_path, ""):
        folder = tmp_path / "uplink"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "uplink.sock").stat().st_mode) == 0o600


# As the worker in its container: another user, with no capability.
_AS_NOBODY = f"""
import errno, os, socket, sys
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
connection = socket.socket(socket.AF_UNIX if sys.argv[1].startswith("/") else socket.AF_INET)
connection.settimeout(10)
connection.connect(sys.argv[1] if sys.argv[1].startswith("/") else ("127.0.0.1", int(sys.argv[1])))
try:
    connection.sendall(sys.argv[2].encode() + b"\\r\\n\\r\\n")
    if "half" in sys.argv: connection.shutdown(socket.SHUT_WR)
    sys.stdout.write(connection.recv(100).decode())
except OSError as error:
    # It hung up on us.
    assert error.errno in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN), error
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("how", ["whole", "half"])
def test_another_user_is_let_through_by_neither_end(tmp_path: Path, echo: Echo, how: str) -> None:
    target = f"127.0.0.1:{echo.port}"

    def as_nobody(where: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, where, f"CONNECT {target} HTTP/1.1", how],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )

    tmp_path.chmod(0o755)
    with Ends(tmp_path, target) as ends:
        done = as_nobody(str(ends.port))
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert "Permission denied" in as_nobody(str(tmp_path / "uplink/uplink.sock")).stderr
        # Were the folder open to all, it would still be asked whose the connection is.
        for path, mode in (("uplink", 0o755), ("uplink/uplink.sock", 0o666)):
            (tmp_path / path).chmod(mode)
        for folder in tmp_path.parents:
            if not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o011)
        done = as_nobody(str(tmp_path / "uplink/uplink.sock"))
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        # The control: root is let through the same doors.
        status, connection = ends.connect(target)
        connection.close()
        assert status == 200


def test_the_check_is_led_to_the_other_end(tmp_path: Path) -> None:
    check = tmp_path / "uplink/health.sock"
    with Ends(tmp_path, "") as ends, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(check))
        listener.listen()
        asked = http.client.HTTPConnection("127.0.0.1", ends.health, timeout=10)
        asked.request("GET", "/")
        # The look whether it listens may have been led here as well, and said nothing.
        while not (said := (connection := listener.accept()[0]).recv(1000)):
            connection.close()
        assert said.startswith(b"GET / HTTP/1.1\r\n")
        connection.sendall(b"HTTP/1.0 503 x\r\n\r\nwhy")
        connection.close()
        response = asked.getresponse()
        assert (response.status, response.read()) == (503, b"why")
        asked.close()


def test_both_stay_until_tailscaled_is_gone(tmp_path: Path, echo: Echo) -> None:
    """It leaves the tailnet through them, while Nomad stops all three at once."""
    (tmp_path / "tailscale").mkdir()
    with socket.socket(socket.AF_UNIX) as tailscaled:
        tailscaled.bind(str(tmp_path / "tailscale/tailscaled.sock"))
        tailscaled.listen()
        with Ends(tmp_path, f"127.0.0.1:{echo.port}") as ends:
            for process in (ends.outside, ends.inside):
                process.send_signal(signal.SIGTERM)
            waiting = [tailscaled.accept()[0], tailscaled.accept()[0]]
            status, connection = ends.connect(f"127.0.0.1:{echo.port}")
            connection.close()
            assert status == 200
            assert (ends.outside.poll(), ends.inside.poll()) == (None, None)
            for each in waiting:
                each.close()
            assert (ends.outside.wait(timeout=10), ends.inside.wait(timeout=10)) == (0, 0)


@pytest.mark.parametrize(("code", "expected"), [(7, 7), (0, 1)], ids=["failure", "success is none"])
def test_the_inner_end_ends_with_its_command(tmp_path: Path, code: int, expected: int) -> None:
    done = subprocess.run(
        [sys.executable, programs.UPLINK, "inside", "sh", "-c", f"exit {code}"],
        env={"PATH": os.environ["PATH"], "NOMAD_ALLOC_DIR": str(tmp_path), "UPLINK_PORT": str(free_port())},
        check=False,
        timeout=20,
    )
    assert done.returncode == expected


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        ((), {}, "uplink.py outside, or uplink.py inside COMMAND"),
        (("inside",), {}, "uplink.py inside COMMAND"),
        (("outside", "x"), {"LOGIN_SERVER": LOGIN}, "uplink.py outside"),
        (("outside",), {}, "LOGIN_SERVER"),
        (("outside",), {"LOGIN_SERVER": LOGIN, "UPLINK_ALLOW": "*:443"}, "UPLINK_ALLOW"),
        (("outside",), {"LOGIN_SERVER": LOGIN, "NOMAD_PORT_health": "many"}, "NOMAD_PORT_health"),
    ],
)
def test_settings_are_refused(arguments: tuple[str, ...], settings: dict[str, str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, programs.UPLINK, *arguments],
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
