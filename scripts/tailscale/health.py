"""Tells Nomad, by HTTP on loopback, whether this job's place in the tailnet holds: 200, or 503 and why.

tailscaled's own answers (`/healthz`, `tailscale wait`) say yes while an exit node is gone and traffic goes
out directly: they ask whether the daemon is up. This asks for what the job needs, of tailscaled's LocalAPI,
and by using it:

* always: the node is running, in the tailnet's map, its key not expired. A control server that is away is no
  reason: the tailnet goes on without it, and tailscaled hears of nothing that changes;
* egress: an exit node is set, in the netmap and online, one of those that are wanted, and a request through
  the sidecar's HTTP proxy is seen from an expected address. While the exit is not there nothing is sent:
  it would go out directly;
* serve: something is published, Funnel is off, and each backend is published and answers.

Any path may be asked; the answer is JSON: {"healthy": false, "reasons": ["exit node exit-a is offline"]}.

Settings, from the environment:
  HEALTH_OF            what the job needs of the tailnet: egress, serve, or both with a comma; required
  NOMAD_PORT_health    the port to listen on, on 127.0.0.1; required
  TS_SOCKET            LocalAPI socket; default: tailscale/tailscaled.sock in the allocation's folder
  EXIT_NODE            egress: the exit node, by name or tailnet address; empty: any
  FALLBACK_EXIT_NODES  egress: others that are as good, comma separated
  HTTP_PROXY_ADDRESS   egress: the sidecar's HTTP proxy; default 127.0.0.1:$NOMAD_PORT_http
  CHECK_URL            egress: answers with the caller's address as plain text; empty: not asked
  EXPECTED_EGRESS      egress: the addresses that CHECK_URL may answer with, comma separated; empty: any
  CHECK_KEEP           egress: seconds for which CHECK_URL's answer is good; default 10
  BACKENDS             serve: what must be published and answer, comma separated: http://127.0.0.1:PORT/PATH
                       (with a status below 400), tcp://127.0.0.1:PORT or unix:/PATH (with a connection);
                       required
  HEALTH_TIMEOUT       seconds that one question may take; default 3

Exit codes: 0 told to stop, 2 a setting is missing or wrong.
"""

import argparse
import http.client
import ipaddress
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_LONGEST_ANSWER = 64 * 1024
_FIRST_BAD_STATUS = 400
KINDS = ("egress", "serve")


class SettingError(Exception):
    """A setting is missing or wrong."""


class NoAnswerError(Exception):
    """Somebody who was asked did not answer, or not as they should."""


@dataclass(frozen=True)
class Settings:
    """What is asked of the tailnet, as the environment has it."""

    of: frozenset[str]
    port: int
    socket_path: str
    exits: tuple[str, ...]
    proxy: tuple[str, int]
    check_url: str
    expected: frozenset[str]
    check_keep: float
    backends: tuple[str, ...]
    timeout: float


def _items(text: str) -> tuple[str, ...]:
    return tuple(item for item in text.replace(",", " ").split() if item)


def port(text: str, name: str) -> int:
    """A port, as a setting has it. Raises SettingError, naming the setting."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16):
        raise SettingError(f"{name} is {text!r}, which is no port")
    return int(text)


def seconds(environment: Mapping[str, str], name: str, default: str) -> float:
    """A setting in seconds. Raises SettingError where it is none."""
    text = environment.get(name) or default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise SettingError(f"{name} is {text!r}, which is no number of seconds")
    return seconds


def _address(text: str) -> str:
    """An address in its shortest form. Raises ValueError."""
    return str(ipaddress.ip_address(text))


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises SettingError, naming the one that is missing or wrong."""
    of = frozenset(_items(environment.get("HEALTH_OF", "")))
    if not of or of - set(KINDS):
        raise SettingError(f"HEALTH_OF is {environment.get('HEALTH_OF', '')!r}; it is egress, serve, or both")
    check_url = environment.get("CHECK_URL", "")
    if check_url and urlsplit(check_url).scheme not in ("http", "https"):
        raise SettingError("CHECK_URL is neither http nor https")
    proxy = ("", 0)
    if "egress" in of and check_url:
        address = (
            environment.get("HTTP_PROXY_ADDRESS") or f"127.0.0.1:{environment.get('NOMAD_PORT_http', '')}"
        )
        host, _, number = address.rpartition(":")
        proxy = (host, port(number, "HTTP_PROXY_ADDRESS (or NOMAD_PORT_http)"))
    try:
        expected = frozenset(_address(text) for text in _items(environment.get("EXPECTED_EGRESS", "")))
    except ValueError as error:
        raise SettingError(f"EXPECTED_EGRESS: {error}") from error
    if expected and not check_url:
        raise SettingError("EXPECTED_EGRESS is set, but no CHECK_URL to observe the egress address by")
    backends = _items(environment.get("BACKENDS", ""))
    for backend in backends:
        url = urlsplit(backend)
        by_port = url.scheme in ("http", "tcp") and url.hostname == "127.0.0.1" and url.port
        if not by_port and not backend.startswith("unix:/"):
            raise SettingError(
                f"BACKENDS holds {backend}: "
                "it is http://127.0.0.1:PORT/PATH, tcp://127.0.0.1:PORT or unix:/PATH"
            )
    if "serve" in of and not backends:
        raise SettingError("BACKENDS is not set: nothing tells what must answer")
    folder = environment.get("NOMAD_ALLOC_DIR") or "/alloc"
    return Settings(
        of=of,
        port=port(environment.get("NOMAD_PORT_health", ""), "NOMAD_PORT_health"),
        socket_path=environment.get("TS_SOCKET") or f"{folder}/tailscale/tailscaled.sock",
        exits=_items(f"{environment.get('EXIT_NODE', '')} {environment.get('FALLBACK_EXIT_NODES', '')}"),
        proxy=proxy,
        check_url=check_url,
        expected=expected,
        check_keep=seconds(environment, "CHECK_KEEP", "10"),
        backends=backends,
        timeout=seconds(environment, "HEALTH_TIMEOUT", "3"),
    )


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        # The name that tailscaled wants to hear; anything else it takes for a browser led astray.
        super().__init__("local-tailscaled.sock", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class LocalApi:
    """tailscaled, as it is asked over its socket."""

    def __init__(self, path: str, timeout: float) -> None:
        """Take the socket's path, and the seconds that one question may take."""
        self._path = path
        self._timeout = timeout

    def get(self, what: str) -> dict[str, Any]:
        """What tailscaled says to `GET /localapi/v0/<what>`. Raises NoAnswerError."""
        connection = _UnixConnection(self._path, self._timeout)
        try:
            connection.request("GET", f"/localapi/v0/{what}")
            response = connection.getresponse()
            body = response.read()
            if response.status != http.client.OK:
                raise NoAnswerError(f"tailscaled answers {response.status} when asked for its {what}")
            data = json.loads(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoAnswerError(f"tailscaled does not answer: {error or type(error).__name__}") from error
        finally:
            connection.close()
        return data if isinstance(data, dict) else {}


def in_tailnet(status: Mapping[str, Any]) -> list[str]:
    """Why the node is not in the tailnet; nothing where it is."""
    state = status.get("BackendState")
    if state != "Running":
        return [f"the node is not in the tailnet: it is in state {state}"]
    node = status.get("Self") or {}
    reasons = []
    if not node.get("InNetworkMap"):
        reasons.append("the node is not in the tailnet's map")
    if node.get("Expired") or _is_past(node.get("KeyExpiry")):
        reasons.append(f"the node's key has expired ({node.get('KeyExpiry')})")
    return reasons


def _is_past(moment: object) -> bool:
    """Whether a moment as Go writes it is over; none at all is not."""
    if not isinstance(moment, str):
        return False
    # To the second, and by their letters: both are UTC, and written alike.
    return moment[:19] <= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())


def exit_node(status: Mapping[str, Any], wanted: tuple[str, ...]) -> list[str]:
    """Why the exit node does not carry the traffic; nothing where it does, as far as tailscaled knows.

    Read from the list of peers: the shorter ExitNodeStatus keeps to the last whole netmap, so that an exit
    node that went since then stands in it as it was.
    """
    chosen = [peer for peer in (status.get("Peer") or {}).values() if peer.get("ExitNode")]
    if not chosen:
        return ["no exit node is set that is in the tailnet: traffic goes out directly"]
    peer = chosen[0]
    name = str(peer.get("DNSName", "")).rstrip(".")
    called = {name, name.partition(".")[0], str(peer.get("HostName")), *(peer.get("TailscaleIPs") or [])}
    shown = name.partition(".")[0] or str(peer.get("HostName"))
    reasons = []
    if wanted and not called & set(wanted):
        reasons.append(f"exit node {shown} is set, wanted is {' or '.join(wanted)}")
    # Expired or withdrawn, it stays the one that is set, and may be online; tailscaled dials directly.
    if peer.get("Expired") or _is_past(peer.get("KeyExpiry")):
        reasons.append(f"the key of exit node {shown} has expired: traffic goes out directly")
    if not peer.get("ExitNodeOption"):
        reasons.append(
            f"exit node {shown} is not offered, or not approved, any more: traffic goes out directly"
        )
    if not peer.get("Online"):
        reasons.append(f"exit node {shown} is offline")
    return reasons


def seen_from(settings: Settings) -> str:
    """Ask CHECK_URL through the sidecar, and give the address it saw. Raises NoAnswerError."""
    url = urlsplit(settings.check_url)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(*settings.proxy, timeout=settings.timeout)
    try:
        # CONNECT also for plain HTTP: otherwise tailscaled may reuse a connection of an earlier exit.
        connection.set_tunnel(url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
        connection.request("GET", (url.path or "/") + (f"?{url.query}" if url.query else ""))
        response = connection.getresponse()
        text = response.read(_LONGEST_ANSWER).decode("ascii", "replace").strip()
        if response.status != http.client.OK:
            raise NoAnswerError(f"{settings.check_url} answers {response.status}")
        return _address(text)
    except ValueError as error:
        raise NoAnswerError(f"{settings.check_url} answers something that is not an address") from error
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(
            f"{settings.check_url} gives no answer: {error or type(error).__name__}"
        ) from error
    finally:
        connection.close()


def published(config: Mapping[str, Any]) -> set[str]:
    """The local targets, as HOST:PORT or unix:/PATH, that a serve config leads to, Services' among them."""
    parts = [config, *(config.get("Services") or {}).values()]
    targets = set()
    for part in parts:
        for forward in (part.get("TCP") or {}).values():
            targets.add(str(forward.get("TCPForward") or ""))
        for site in (part.get("Web") or {}).values():
            for handler in (site.get("Handlers") or {}).values():
                targets.add(_target(str(handler.get("Proxy") or "")))
    return targets - {""}


def _target(backend: str) -> str:
    return backend if backend.startswith("unix:") else urlsplit(backend).netloc


def ask_backend(backend: str, timeout: float) -> None:
    """Ask a backend as its URL says. Raises NoAnswerError."""
    url = urlsplit(backend)
    try:
        if url.scheme == "tcp":
            socket.create_connection((url.hostname or "", url.port or 0), timeout=timeout).close()
            return
        if url.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as by_path:
                by_path.settimeout(timeout)
                by_path.connect(url.path)
            return
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout)
        try:
            connection.request("GET", url.path or "/")
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(f"backend {backend} does not answer: {error or type(error).__name__}") from error
    if status >= _FIRST_BAD_STATUS:
        raise NoAnswerError(f"backend {backend} answers {status}")


@dataclass
class Health:
    """What is asked, and the answer of CHECK_URL for as long as it is good."""

    settings: Settings
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _observed: list[str] = field(default_factory=list)
    _good_until: float = 0.0

    def reasons(self) -> list[str]:
        """Why the job's place in the tailnet does not hold; nothing where it does."""
        # One at a time: whoever comes second finds what the first was told.
        with self._lock:
            try:
                return self._ask(LocalApi(self.settings.socket_path, self.settings.timeout))
            except NoAnswerError as error:
                return [str(error)]

    def _ask(self, api: LocalApi) -> list[str]:
        egress = "egress" in self.settings.of
        status = api.get("status" if egress else "status?peers=false")
        reasons = in_tailnet(status)
        if egress:
            lost = exit_node(status, self.settings.exits)
            # What was seen through another exit, or before this one went, says nothing of what comes.
            if reasons or lost:
                self._good_until = 0.0
            elif self.settings.check_url:
                lost = self._observe(api)
            reasons += lost
        if "serve" in self.settings.of:
            reasons += self._serve(api.get("serve-config"))
        return reasons

    def _observe(self, api: LocalApi) -> list[str]:
        if time.monotonic() >= self._good_until:
            self._observed = self._look(api)
            self._good_until = time.monotonic() + self.settings.check_keep
        return self._observed

    def _look(self, api: LocalApi) -> list[str]:
        expected = self.settings.expected
        try:
            address = seen_from(self.settings)
        except NoAnswerError as error:
            return [str(error)]
        # Had the exit gone meanwhile, the answer would say nothing about it.
        lost = exit_node(api.get("status"), self.settings.exits)
        if expected and address not in expected:
            lost.append(f"traffic is seen from {address}, expected {' or '.join(sorted(expected))}")
        return lost

    def _serve(self, config: Mapping[str, Any]) -> list[str]:
        reasons = []
        if any((config.get("AllowFunnel") or {}).values()):
            reasons.append("Funnel is on: what is served is open to the internet")
        targets = published(config)
        if not targets:
            reasons.append("nothing is published by Serve")
        for backend in self.settings.backends:
            if targets and _target(backend) not in targets:
                reasons.append(f"backend {backend} is not published by Serve")
            try:
                ask_backend(backend, self.settings.timeout)
            except NoAnswerError as error:
                reasons.append(str(error))
        return reasons


class Server(ThreadingHTTPServer):
    """Answers on the port of `health`, on loopback."""

    daemon_threads = True

    def __init__(self, health: Health) -> None:
        super().__init__(("127.0.0.1", health.settings.port), _Handler)
        self.health = health


class _Handler(BaseHTTPRequestHandler):
    server: Server
    # Who connects and says nothing does not hold a thread for ever.
    timeout = 10

    def do_GET(self) -> None:
        """Answer, whatever the path."""
        reasons = self.server.health.reasons()
        body = json.dumps({"healthy": not reasons, "reasons": reasons}).encode() + b"\n"
        self.send_response(http.client.SERVICE_UNAVAILABLE if reasons else http.client.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: Nomad asks every few seconds, and keeps the answers."""


def main() -> int:
    """Serve until SIGTERM or SIGINT; give the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage="health.py"
    )
    parser.parse_args()
    try:
        server = Server(Health(read_settings(os.environ)))
    except SettingError as error:
        print(f"health: {error}", file=sys.stderr)
        return 2

    def stop(number: int, frame: object) -> None:
        del number, frame
        # From another thread: shutdown waits for the loop that this handler has interrupted.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with server:
        server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
