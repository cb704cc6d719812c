"""The observer's modules (fixtures/echo), and the observer itself as a process on loopback."""

import importlib
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import trustme

from harness.run import places

FOLDER = places.fixtures() / "echo"
TOKEN = "a-token-of-the-tests-alone-0123456789"  # noqa: S105 - of nobody else
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def module(name: str) -> ModuleType:
    """Import a module of the observer, which finds its neighbours as it does in its image."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


Loose = Any
"""What is of the observer's modules: they are no package, so that its types are not known here."""


@dataclass
class Running:
    """An observer that runs."""

    process: "subprocess.Popen[str]"
    ports: dict[str, int]
    folder: Path
    trust: ssl.SSLContext
    authority: trustme.CA
    certificate: Path
    key: Path
    said: list[str] = field(default_factory=list)
    """What it printed until its end."""

    def url(self, scheme: str = "https", host: str = "127.0.0.1", path: str = "") -> str:
        shown = f"[{host}]" if ":" in host else host
        return f"{scheme}://{shown}:{self.ports[scheme]}{path}"

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, and wait for its end."""
        self.process.send_signal(number)
        self.said += self.process.communicate(timeout=20)[0].splitlines()
        return self.process.returncode


def arguments(folder: Path, *more: str) -> list[str]:
    return ["--http", "0", "--folder", str(folder / "book"), *more]


@contextmanager
def observer(folder: Path, *more: str, token: str | None = TOKEN) -> Iterator[Running]:
    """Start one on ports that are free, with every protocol, and end it."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "::1")
    certificate, key = folder / "tls.pem", folder / "tls.key"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    secret: list[str] = []
    if token is not None:
        (folder / "token").write_text(f"{token}\n")
        secret = ["--token-file", str(folder / "token")]
    tls = ["--https", "0", "--certificate", str(certificate), "--key", str(key)]
    argv = arguments(folder, "--tcp", "0", "--udp", "0", *tls, *secret, *more)
    with subprocess.Popen(
        [sys.executable, str(FOLDER / "observer.py"), *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("listening: "), line
            ports = {name: int(port) for name, port in re.findall(r"(\w+) (\d+)", line)}
            yield Running(process, ports, folder, trust, authority, certificate, key)
        finally:
            process.kill()


def get(running: Running, path: str, scheme: str = "http", **headers: str) -> httpx.Response:
    url = running.url(scheme, path=path)
    return httpx.get(url, headers=headers, verify=running.trust, timeout=20, trust_env=False)


def seen(running: Running, token: str) -> list[dict[str, object]]:
    """The lines with a token, from the first page that has one."""
    after = 0
    while True:
        answer = get(running, f"/observer/book?after={after}&token={token}", **BEARER).json()
        lines: list[dict[str, object]] = answer["lines"]
        if lines or answer["last"] == answer["newest"]:
            return lines
        after = answer["last"]


def call(running: Running, scheme: str, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, running.ports[scheme]), 20)


def to_the_end(connection: socket.socket) -> bytes:
    """What comes until the other side closes, or resets."""
    said = b""
    try:
        while some := connection.recv(65536):
            said += some
    except ConnectionResetError:
        pass
    return said
