"""What look.py itself reads: the node's sockets as the kernel has them, and what its engine answers.

The whole of it, on a node, is in test_ports.py.
"""

import importlib.util
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from harness.lab import listening
from harness.ledger.facts import Moment
from harness.run import places

FILE = places.fixtures() / "nomad" / "look.py"


@pytest.fixture
def look() -> ModuleType:
    spec = importlib.util.spec_from_file_location("look", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("family", "kind", "address"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1"),
        (socket.AF_INET6, socket.SOCK_STREAM, "::1"),
        (socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1"),
        (socket.AF_INET6, socket.SOCK_DGRAM, "::1"),
    ],
)
def test_a_listener_is_seen_while_it_is_there(look: ModuleType, family: int, kind: int, address: str) -> None:
    with socket.socket(family, kind) as listener:
        listener.bind((address, 0))
        if kind == socket.SOCK_STREAM:
            listener.listen()
        port = listener.getsockname()[1]
        kinds = (family, listener.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL))
        wanted = struct.pack("!BBH", *kinds, port) + socket.inet_pton(family, address).ljust(16, b"\0")
        assert wanted in look.listening()
    assert wanted not in look.listening()


def test_a_connection_is_no_listener(look: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        before = look.listening()
        with socket.create_connection(server.getsockname()):
            assert look.listening() == before


class Engine:
    """Answers each request on a Unix socket with what it was told for the path."""

    def __init__(self, path: Path, answers: dict[str, bytes]) -> None:
        self.path = path
        self._answers = answers
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                asked = connection.recv(65536).decode().split(" ")[1]
                connection.sendall(self._answers[asked])

    def close(self) -> None:
        # Closing alone does not wake who waits in accept.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


@pytest.fixture
def engine(tmp_path: Path, look: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    found = Engine(
        tmp_path / "engine",
        {
            "/containers/json": b'HTTP/1.0 200 OK\r\nA: b\r\n\r\n[{"Id": "gone"}]',
            "/containers/gone/json": b'HTTP/1.0 404 Not Found\r\n\r\n{"message": "no such container"}',
            "/broken": b"HTTP/1.0 500 Oh\r\n\r\nno",
        },
    )
    monkeypatch.setattr(look, "ENGINE", str(found.path))
    yield found
    found.close()


@pytest.mark.usefixtures("engine")
def test_a_container_that_is_gone_since_is_none(look: ModuleType) -> None:
    assert look.engine("/containers/json") == b'[{"Id": "gone"}]'
    assert look.engine("/containers/gone/json") is None


@pytest.mark.usefixtures("engine")
def test_an_engine_that_fails_is_no_look(look: ModuleType) -> None:
    with pytest.raises(OSError, match=r"answers GET /broken with HTTP/1\.0 500 Oh"):
        look.engine("/broken")


def test_a_watch_tells_of_each_change_and_ends_with_its_stdin(tmp_path: Path, engine: Engine) -> None:
    program = FILE.read_text(encoding="utf-8").replace("/var/run/docker.sock", str(engine.path))
    (tmp_path / "look.py").write_text(program, encoding="utf-8")
    watch = subprocess.Popen(
        [sys.executable, "-IS", str(tmp_path / "look.py"), "watch"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watch.stdin
    assert watch.stdout

    def until(end: str) -> str:
        lines = []
        assert watch.stdout
        for line in watch.stdout:
            lines.append(line)
            if line.startswith(end):
                break
        return "".join(lines)

    first = until("looked 1\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        seen = ""
        # Whatever else the machine opens is a change as well.
        while f"127.0.0.1:{port} " not in seen:
            seen = until("looked ")
            assert seen
    watch.stdin.close()
    last = watch.stdout.read()
    assert watch.wait(10) == 0
    looks, _ = listening.read(first + seen + last, Moment.RUNNING)
    of_node = [x for look in looks for x in look.listeners if look.place == listening.NODE]
    assert any(x.port == port and x.address == "127.0.0.1" and x.process for x in of_node)
