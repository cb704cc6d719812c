"""A tailnet on loopback: a real headscale and real tailscaleds in userspace mode. No root, no way out."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tenacity import RetryError, Retrying, retry_if_not_result, stop_after_delay, wait_fixed

from tests.toolkit import programs

T = TypeVar("T")

CONFIGURATION = """
server_url: http://127.0.0.1:{port}
listen_addr: 127.0.0.1:{port}
metrics_listen_addr: ""
grpc_listen_addr: 127.0.0.1:{grpc}
unix_socket: {folder}/headscale.sock
noise: {{private_key_path: {folder}/noise.key}}
prefixes: {{v4: 100.64.0.0/10, v6: "fd7a:115c:a1e0::/48"}}
database: {{type: sqlite, sqlite: {{path: {folder}/db.sqlite}}}}
dns: {{magic_dns: true, base_domain: tailnet.test, override_local_dns: false}}
derp:
  server:
    enabled: true
    region_id: 900
    region_code: loopback
    region_name: loopback
    stun_listen_addr: 127.0.0.1:{stun}
    private_key_path: {folder}/derp.key
    ipv4: 127.0.0.1
    ipv6: none
  urls: []
  paths: []
  auto_update_enabled: false
node: {{ephemeral: {{inactivity_timeout: 70s}}}}
policy: {{mode: file, path: {folder}/policy.json}}
disable_check_updates: true
"""

# Tailscale's own way to do without TLS and the outside world.
HERMETIC = {
    "TS_DEBUG_USE_DERP_HTTP": "1",
    "TS_NO_LOGS_NO_SUPPORT": "true",
    "TS_DISABLE_PORTMAPPER": "1",
    "TS_PANIC_IF_HIT_MAIN_CONTROL": "1",
}


def eventually(probe: Callable[[], T], *, seconds: float, what: str) -> T:
    """Ask until the answer is true, and give it. Raises AssertionError, naming `what`, when it is late."""
    retrying = Retrying(
        retry=retry_if_not_result(bool), stop=stop_after_delay(seconds), wait=wait_fixed(0.05)
    )
    try:
        return retrying(probe)
    except RetryError as over:
        raise AssertionError(f"{what}: not within {seconds} s") from over


def free_port() -> int:
    """A TCP port of loopback that nobody holds right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """Owns one process and its log; ends it with TERM, or KILL when it does not hear."""

    def __init__(self, argv: Sequence[str | Path], *, log: Path, environment: dict[str, str]) -> None:
        self.log = log
        with log.open("ab") as stream:
            self.popen = subprocess.Popen(  # both streams in one file, in order
                argv, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
            )

    def stop(self, *, seconds: float = 10) -> int:
        """Ask it to end, wait, and give its exit code."""
        if self.popen.poll() is None:
            self.popen.terminate()
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Folder:
    """Owns a folder with a path short enough for unix sockets."""

    def __enter__(self) -> Path:
        self.path = Path(tempfile.mkdtemp(prefix="nt-"))
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


class Headscale:
    """Owns a headscale on loopback that enforces one policy."""

    def __init__(self, policy: str) -> None:
        """Take the policy as HuJSON text."""
        self._policy = policy
        self._owned = ExitStack()
        self._program = programs.find("headscale")

    def __enter__(self) -> Self:
        with ExitStack() as owned:
            self.folder = owned.enter_context(Folder())
            self.port = free_port()
            self.url = f"http://127.0.0.1:{self.port}"
            self._configuration = self.folder / "config.yaml"
            self._configuration.write_text(
                CONFIGURATION.format(port=self.port, grpc=free_port(), stun=free_port(), folder=self.folder)
            )
            self.policy_file = self.folder / "policy.json"
            self.policy_file.write_text(self._policy)
            self.process = owned.enter_context(
                Process(
                    [self._program, "-c", self._configuration, "serve"],
                    log=self.folder / "headscale.log",
                    environment=dict(os.environ),
                )
            )
            eventually(self._healthy, seconds=20, what=f"headscale answers ({self.process.log.read_text()})")
            self._owned = owned.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owned.close()

    def _healthy(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """One call of its command line tool, whatever it comes to."""
        return subprocess.run(
            [self._program, "-c", self._configuration, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )

    def json(self, *arguments: str) -> Any:  # noqa: ANN401 - whatever the tool answers
        """One call that must succeed, its answer as data."""
        done = self.run(*arguments, "-o", "json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def key(self, *tags: str, reusable: bool = True) -> str:
        """A new pre-auth key for ephemeral nodes with these tags."""
        options = ["--ephemeral", "--tags", ",".join(tags), *(["--reusable"] if reusable else [])]
        made = self.json("preauthkeys", "create", *options)
        return str(made["key"])

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The nodes it knows, by name."""
        return {node["given_name"]: node for node in self.json("nodes", "list") or []}

    def register(self, name: str, user: str, *tags: str) -> None:
        """Make a node exist without a machine behind it, for what a policy says of it."""
        request = f"hskey-authreq-{secrets.token_hex(12)}"
        self.json("debug", "create-node", "--name", name, "--user", user, "--key", request)
        made = self.json("auth", "register", "--auth-id", request, "-u", user)
        if tags:
            self.json("nodes", "tag", "-i", str(made["id"]), "-t", ",".join(tags))


class Sidecar:
    """Owns a tailscaled that runs under sidecar.sh, as the job's prestart task does."""

    def __init__(self, *, sh: str = "dash") -> None:
        """Choose the shell that runs the script: dash or busybox."""
        self._shell = sh
        self._owned = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as owned:
            self.folder = owned.enter_context(Folder())
            self.programs = self.folder / "bin"
            self.programs.mkdir()
            for name in ("tailscale", "tailscaled"):
                (self.programs / name).symlink_to(programs.find(name))
            self.state = self.folder / "alloc/tailscale"
            self.socket = self.state / "tailscaled.sock"
            self.socks_port, self.http_port = free_port(), free_port()
            self.environment = {
                **HERMETIC,
                "PATH": f"{self.programs}:{os.environ['PATH']}",
                "HOME": str(self.folder),
                "NOMAD_ALLOC_DIR": str(self.folder / "alloc"),
                "NOMAD_PORT_socks": str(self.socks_port),
                "NOMAD_PORT_http": str(self.http_port),
            }
            self.process = owned.enter_context(self.again())
            eventually(self.socket.is_socket, seconds=10, what="tailscaled opens its socket")
            self._owned = owned.pop_all()
        return self

    def again(self) -> Process:
        """The script started, as Nomad starts it again: with the state that is there."""
        return Process(
            [*programs.shell(self._shell), programs.SIDECAR],
            log=self.folder / "sidecar.log",
            environment=self.environment,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owned.close()

    def tailscale(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One call of the command line tool, whatever it comes to."""
        return subprocess.run(
            [self.programs / "tailscale", f"--socket={self.socket}", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=40,
        )

    def peer(self, name: str) -> dict[str, Any]:
        """Another node as tailscaled lists it; empty where it is not in the netmap."""
        peers = json.loads(self.tailscale("status", "--json").stdout)["Peer"] or {}
        return next((peer for peer in peers.values() if peer["HostName"] == name), {})

    def join(self, headscale: Headscale, name: str, *options: str, tag: str) -> None:
        """Enter a tailnet by hand, as an exit node does."""
        key_file = self.folder / "key"
        key_file.write_text(headscale.key(tag))
        done = self.tailscale(
            "up",
            f"--login-server={headscale.url}",
            f"--auth-key=file:{key_file}",
            f"--hostname={name}",
            "--timeout=30s",
            "--accept-dns=false",
            *options,
        )
        assert done.returncode == 0, done.stderr

    def daemon(self) -> int:
        """The process id of its tailscaled."""
        children = Path(f"/proc/{self.process.popen.pid}/task/{self.process.popen.pid}/children")
        return int(children.read_text().split()[0])

    def kill_daemon(self, number: signal.Signals) -> int:
        """Send tailscaled a signal behind the script's back, and give the script's exit code."""
        os.kill(self.daemon(), number)
        return self.process.popen.wait(10)
