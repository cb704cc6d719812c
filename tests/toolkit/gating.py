"""A gate beside a sidecar, as the job's task of that name, and clients of its two proxies."""

import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.toolkit import programs
from tests.toolkit.tailnet import Sidecar, eventually, free_port


class Gate:
    """Owns a gate.py that runs beside a sidecar."""

    def __init__(self, sidecar: Sidecar, folder: Path, **settings: str) -> None:
        """Take the sidecar, a folder for the task, and what the job gives to its gate."""
        self.http_port, self.socks_port, self.health_port = free_port(), free_port(), free_port()
        self._log = folder / "gate.log"
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "NOMAD_ALLOC_DIR": sidecar.environment["NOMAD_ALLOC_DIR"],
            "NOMAD_TASK_DIR": str(folder),
            "NOMAD_PORT_http": str(self.http_port),
            "NOMAD_PORT_socks": str(self.socks_port),
            "NOMAD_PORT_health": str(self.health_port),
            "HEALTH_OF": "egress",
            "EXIT_NODE": "exit-a",
            **settings,
        }

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-u", programs.GATE], env=self._environment, stdout=log, stderr=log
            )
        eventually(self._listens, seconds=10, what="the gate listens")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.popen.terminate()
        self.popen.wait(10)

    def _listens(self) -> bool:
        try:
            for port in (self.http_port, self.socks_port):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            return False
        return True

    def said(self) -> list[str]:
        """What it logged, without the times."""
        return [line.partition("gate: ")[2] for line in self._log.read_text().splitlines()]

    def wait_for(self, text: str, *, seconds: float = 10) -> str:
        """The last line of the log, as soon as it holds this text."""
        eventually(lambda: text in (self.said() or [""])[-1], seconds=seconds, what=f"the gate says {text!r}")
        return self.said()[-1]


def talk(port: int, sent: bytes, *, seconds: float = 25) -> bytes:
    """Say something to a port of loopback, and give all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as client:
        client.sendall(sent)
        return read_all(client)


def read_all(client: socket.socket) -> bytes:
    """All that comes until the other side ends it, well or ill."""
    heard = b""
    try:
        while data := client.recv(1 << 16):
            heard += data
    except ConnectionResetError:
        pass
    return heard


def tunnel(gate: Gate, host: str, port: int) -> socket.socket:
    """A tunnel by CONNECT that is open."""
    client = socket.create_connection(("127.0.0.1", gate.http_port), timeout=25)
    client.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode())
    head = client.recv(1 << 16)
    assert head == b"HTTP/1.1 200 OK\r\n\r\n", head
    return client


def socks(port: int, host: str, to: int, *, kind: int = 3) -> tuple[int, socket.socket]:
    """Ask the SOCKS5 proxy for a connection: its reply, and the connection."""
    client = socket.create_connection(("127.0.0.1", port), timeout=25)
    client.sendall(b"\x05\x01\x00")
    assert client.recv(2) == b"\x05\x00"
    name = bytes([len(host)]) + host.encode() if kind == 3 else socket.inet_aton(host)
    client.sendall(b"\x05\x01\x00" + bytes([kind]) + name + struct.pack(">H", to))
    return client.recv(10)[1], client
