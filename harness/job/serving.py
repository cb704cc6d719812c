"""What a task publishes by Tailscale Serve, read from its settings, its scripts and its files. Pure.

Three ways are known: the SERVE of scripts/tailscale/serve.sh, `tailscale serve` commands, and the JSON files
that tailscaled and the Tailscale image take (https://tailscale.com/kb/1242/tailscale-serve, ipn.ServeConfig).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.job.example import ServePromise

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ENTRY = re.compile(r"(https?|tcp)(?::(\d+))?(/[^=\s]*)?=(\S+)")
_COMMAND = re.compile(r"\btailscale\b[^\n;&|]*?\bserve\b([^\n;&|]*)")
_FLAG = re.compile(r"--?(https?|tcp|tls-terminated-tcp)[= ](\d+)")
_SET_PATH = re.compile(r"--?set-path[= ](\S+)")
_SERVICE = re.compile(r"--?service[= ](svc:[\w-]+)")
_PORT = re.compile(r"(\$\{NOMAD_PORT_\w+\}|(?<=:)\d+|^\d+$)")
_TEMPLATE = re.compile(r"\{\{.*?\}\}")
_VERBS = re.compile(r"^\s*(status|reset|drain|advertise|clear|get-config|set-config)\b")


@dataclass(frozen=True)
class Published:
    """One thing that is published."""

    scheme: str
    """http, https or tcp."""
    port: int
    path: str
    backend: str
    """What it leads to, as far as that is written."""
    service: str = ""

    @property
    def backend_port(self) -> str:
        """The port that it leads to: a number, or Nomad's `${NOMAD_PORT_label}`; empty where it has none."""
        found = _PORT.search(self.backend.partition("//")[2].partition("/")[0] or self.backend)
        return found[1] if found else ""

    def promise(self, health: Mapping[str, str]) -> ServePromise:
        """As an entry of smoke.toml.

        Args:
            health: the path by which the job itself asks after a backend's health, by the backend's port.
        """
        if self.scheme == "tcp":
            return ServePromise(tcp=f"{{host}}:{self.port}", service=self.service)
        port = "" if _DEFAULT_PORTS[self.scheme] == self.port else f":{self.port}"
        path = self.path or "/"
        if path == "/" and self.backend_port in health:
            path = health[self.backend_port]
        return ServePromise(url=f"{self.scheme}://{{host}}{port}{path}", service=self.service)


def published(environment: Mapping[str, str], texts: Mapping[str, str]) -> list[Published]:
    """What one task publishes.

    Args:
        environment: its variables.
        texts: its command line and its templates, by their destination.
    """
    found = list(_by_entries(environment.get("SERVE", "")))
    for text in texts.values():
        found += _by_commands(text)
        found += _by_file(text)
    return list(dict.fromkeys(found))


def _by_entries(text: str) -> Iterator[Published]:
    for scheme, port, path, backend in _ENTRY.findall(text.replace(",", " ")):
        yield Published(scheme, int(port or _DEFAULT_PORTS.get(scheme, 0)), path or "", backend)


def _by_commands(text: str) -> Iterator[Published]:
    for arguments in _COMMAND.findall(text.replace("\\\n", " ")):
        flag = _FLAG.search(arguments)
        words = [w for w in arguments.split() if not w.startswith("-")]
        # What a variable of a shell stands for is not known here; Nomad's own ports are.
        plain = [w.strip("\"'") for w in words if "$" not in w.replace("${NOMAD_PORT_", "")]
        if _VERBS.match(arguments) or not plain or not re.search(r"\d|NOMAD_PORT_|text:|^/", plain[-1]):
            continue
        scheme = flag[1] if flag else "https"
        scheme = "tcp" if scheme == "tls-terminated-tcp" else scheme
        path, service = _SET_PATH.search(arguments), _SERVICE.search(arguments)
        yield Published(
            scheme,
            int(flag[2]) if flag else _DEFAULT_PORTS[scheme],
            path[1].strip("\"'") if path else "",
            plain[-1],
            service[1] if service else "",
        )


def _by_file(text: str) -> Iterator[Published]:
    data = _json(text)
    for name, service in (data.get("services") or {}).items():
        for at, target in (service.get("endpoints") or {}).items():
            scheme = target.partition("://")[0]
            port = int(at.rpartition(":")[2])
            yield Published(scheme if scheme in _DEFAULT_PORTS else "tcp", port, "", target, name)
    for part, service in (("", data), *((data.get("Services") or {}).items())):
        yield from _by_config(part, service)


def _by_config(service: str, config: Mapping[str, Any]) -> Iterator[Published]:
    ports = config.get("TCP") or {}
    for at, handlers in (config.get("Web") or {}).items():
        port = at.rpartition(":")[2]
        scheme = "http" if (ports.get(port) or {}).get("HTTP") else "https"
        for path, handler in (handlers.get("Handlers") or {}).items():
            yield Published(scheme, int(port), path, handler.get("Proxy", ""), service)
    for port, handler in ports.items():
        if forward := handler.get("TCPForward"):
            yield Published("tcp", int(port), "", forward, service)


def _json(text: str) -> dict[str, Any]:
    """A template that is JSON once Nomad has filled it; nothing for another."""
    if not text.lstrip().startswith("{"):
        return {}
    try:
        data = json.loads(_TEMPLATE.sub("x", text))
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
