"""What serve.sh is put to work on: an allocation, backends on loopback, a reader in the tailnet."""

import http.client
import json
import os
import socket
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.toolkit import programs
from tests.toolkit.tailnet import Headscale, Sidecar

EXIT_CODES = {
    "withdrawn": 0,
    "setting": 10,
    "key": 11,
    "socket": 12,
    "refused": 13,
    "login timeout": 14,
    "backend": 20,
    "beyond loopback": 21,
    "name": 22,
    "publish": 23,
    "differs": 24,
    "funnel": 25,
    "gone": 26,
    "not withdrawn": 27,
}


class Backend:
    """Owns an HTTP server that answers with its word and the path it was asked for."""

    def __init__(self, word: str = "backend", *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Choose what it says, and where it listens."""
        self._word = word
        self._host = host
        self._port = port

    def __enter__(self) -> Self:
        word = self._word

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = f"{word} {self.path}".encode()
                self.send_response(503 if self.path == "/ill" else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                del format, arguments

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in self._host else socket.AF_INET

        self._server = Server((self._host, self._port), Handler)
        self.port = self._server.server_port
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True)
class Ran:
    """What a run of serve.sh came to."""

    code: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """The one line that says why it refused."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        prefix = "serve: refused: "
        assert lines[0].startswith(prefix), self.err
        return lines[0].removeprefix(prefix)


class Serving:
    """Owns a serve.sh that runs; ends it with TERM when nobody waited for it."""

    def __init__(self, environment: Mapping[str, str], folder: Path, *, sh: str = "dash") -> None:
        """Take all of its environment, its task folder, and the shell that runs it."""
        self._environment = environment
        self._folder = folder
        self._sh = sh

    def __enter__(self) -> Self:
        self._said: list[str] = []
        self.popen = subprocess.Popen(
            [*programs.shell(self._sh), programs.SERVE],
            env={"PATH": os.environ["PATH"], "NOMAD_TASK_DIR": str(self._folder), **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def wait_for(self, word: str) -> str:
        """Read what it says until a line holds a word, and give that line."""
        assert self.popen.stdout
        for line in self.popen.stdout:
            self._said.append(line)
            if word in line:
                return line
        assert self.popen.stderr
        raise AssertionError(f"it ended without saying {word!r}: {self._said} {self.popen.stderr.read()}")

    def end(self, *, seconds: float = 30) -> Ran:
        """Wait for its end."""
        out, err = self.popen.communicate(timeout=seconds)
        assert not list(self._folder.glob("serve.*")), "it leaves its scratch folder behind"
        return Ran(self.popen.returncode, "".join(self._said) + out, err)

    def stop(self) -> Ran:
        """Tell it to stop, as Nomad does, and wait for its end."""
        self.popen.terminate()
        return self.end()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.communicate()


@dataclass(frozen=True)
class Service:
    """An allocation as serve.sh sees it: a sidecar, and the task's own folders."""

    headscale: Headscale
    sidecar: Sidecar
    folder: Path
    name: str

    def give_key(self, key: str) -> None:
        """Put an auth key where the job's template puts it."""
        (self.folder / "ts-authkey").write_text(key)

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """What the job gives to its serve task; `settings` go over it."""
        return {
            **self.sidecar.environment,
            "NOMAD_SECRETS_DIR": str(self.folder),
            "TAILNET_NAME": self.name,
            "LOGIN_SERVER": self.headscale.url,
            "WATCH_INTERVAL": "1",
            **settings,
        }

    def serve(self, *, sh: str = "dash", **settings: str) -> Serving:
        """A serve.sh of this allocation, to be entered."""
        task = self.folder / "local"
        task.mkdir(exist_ok=True)
        return Serving(self.environment(settings), task, sh=sh)

    def refuses(self, *, sh: str = "dash", **settings: str) -> Ran:
        """Run serve.sh to an end that it comes to by itself."""
        with self.serve(sh=sh, **settings) as serving:
            return serving.end()

    def published(self) -> dict[str, Any]:
        """What tailscaled serves."""
        found: dict[str, Any] = json.loads(self.sidecar.tailscale("serve", "status", "--json").stdout)
        return found


def get(reader: Sidecar, url: str) -> tuple[int, str]:
    """Ask for a URL from a node of the tailnet, through its HTTP proxy."""
    connection = http.client.HTTPConnection("127.0.0.1", reader.http_port, timeout=15)
    try:
        connection.request("GET", url)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()
