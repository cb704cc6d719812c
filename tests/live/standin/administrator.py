"""The administrator of the cluster: what a management token may do, over whichever server answers."""

import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx

from harness.errors import LabError
from harness.lab.running_host import FILES, RunningHost
from harness.management.waiting import wait_until
from tests.live.standin.authority import CA, tls_name
from tests.live.standin.hosts import SERVERS, address
from tests.live.standin.plans import HTTP_PORT, RPC_PORT

_ANSWER_SECONDS = 15
_DIAL = f"OPENSSL:127.0.0.1:{HTTP_PORT},cafile={FILES}/{CA},commonname={tls_name('server')}"
_NAMES = {address(server): server for server in SERVERS}


@dataclass(frozen=True)
class ClientNode:
    """A Nomad client as the servers know it."""

    id: str
    name: str
    status: str
    eligible: bool
    docker: bool
    """Whether its Docker driver is healthy."""

    @property
    def ready(self) -> bool:
        """Whether jobs are placed on it."""
        return self.status == "ready" and self.eligible and self.docker


def _connected(server: RunningHost) -> httpx.Client:
    return httpx.Client(
        base_url="http://nomad", transport=server.transport("socat", "-", _DIAL), timeout=_ANSWER_SECONDS
    )


class Administrator:
    """Owns an HTTP client to each server.

    Every method raises LabError when no server does what it is told.
    """

    def __init__(self, servers: Sequence[RunningHost]) -> None:
        """Speak with these servers, in this order; the first token is made up here, and kept here."""
        self._token = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
        self._servers = {server.name: server for server in servers}
        self._https = {server.name: _connected(server) for server in servers}

    def forget(self, server: str) -> None:
        """End the connections to a server that was killed: an engine does not always do so by itself."""
        self._https[server].close()
        self._https[server] = _connected(self._servers[server])

    def close(self) -> None:
        """Close every connection."""
        for http in self._https.values():
            http.close()

    def _ask(
        self, method: str, path: str, *, json: object = None, params: Mapping[str, str] | None = None
    ) -> Any:  # noqa: ANN401 - JSON of any shape
        """Ask one server after the other, as any may be the one that was killed."""
        failed: list[str] = []
        for server, http in self._https.items():
            try:
                response = http.request(
                    method, path, json=json, params=params, headers={"X-Nomad-Token": self._token}
                )
            except (httpx.TransportError, LabError) as error:
                failed.append(f"{server}: {error}")
                continue
            if response.is_server_error:
                failed.append(f"{server}: {response.status_code} {response.text[:200]}")
                continue
            if response.is_error:
                raise LabError(
                    f"Nomad refused {method} {path} ({response.status_code})", log=response.text[:500]
                )
            return response.json() if response.content else None
        raise LabError(f"no server answers {method} {path}", log="\n".join(failed))

    # -- the beginning

    def bootstrap(self, seconds: float) -> None:
        """Wait for a leader, and make the first token. Nobody else has it."""
        body = {"BootstrapSecret": self._token}
        wait_until(
            lambda: bool(self._ask("PUT", "/v1/acl/bootstrap", json=body)),
            seconds=seconds,
            what="the three servers have a leader, who gives the first token",
            transient=(LabError,),
        )

    def client_token(self, name: str, rules: str) -> str:
        """Make a policy, and a token that has it and nothing besides. The answer is a secret."""
        self._ask("PUT", f"/v1/acl/policy/{name}", json={"Name": name, "Rules": rules})
        made = self._ask("PUT", "/v1/acl/token", json={"Name": name, "Type": "client", "Policies": [name]})
        return str(made["SecretID"])

    # -- servers

    def leader(self) -> str:
        """The server that leads now, by name."""
        told: str = self._ask("GET", "/v1/status/leader")
        try:
            return _NAMES[told.rpartition(":")[0]]
        except KeyError:
            raise LabError(f"the servers have no leader; asked for one, they say {told!r}") from None

    def transfer_leadership(self, server: str) -> None:
        """Tell the leader to hand over to another server, which it begins to do."""
        peer = f"{address(server)}:{RPC_PORT}"
        self._ask("PUT", "/v1/operator/raft/transfer-leadership", params={"address": peer})

    def voters(self) -> tuple[str, ...]:
        """The servers that have a vote, by name."""
        found = self._ask("GET", "/v1/operator/raft/configuration")["Servers"]
        return tuple(sorted(_NAMES[each["Address"].rpartition(":")[0]] for each in found if each["Voter"]))

    # -- clients

    def clients(self) -> tuple[ClientNode, ...]:
        """Every client that the servers know, by name."""
        return tuple(
            sorted(
                (
                    ClientNode(
                        id=node["ID"],
                        name=node["Name"],
                        status=node["Status"],
                        eligible=node["SchedulingEligibility"] == "eligible",
                        docker=bool(((node["Drivers"] or {}).get("docker") or {}).get("Healthy")),
                    )
                    for node in self._ask("GET", "/v1/nodes")
                ),
                key=lambda node: node.name,
            )
        )

    def client(self, name: str) -> ClientNode:
        """One client."""
        for node in self.clients():
            if node.name == name:
                return node
        raise LabError(f"the servers know no client {name}")

    def drain(self, name: str, deadline: timedelta) -> None:
        """Move everything away from a client, as before its maintenance; by force after the deadline."""
        spec = {"Deadline": int(deadline.total_seconds() * 1e9), "IgnoreSystemJobs": False}
        self._ask("PUT", f"/v1/node/{self.client(name).id}/drain", json={"DrainSpec": spec})

    def undrain(self, name: str) -> None:
        """Let jobs be placed on a client again."""
        body = {"DrainSpec": None, "MarkEligible": True}
        self._ask("PUT", f"/v1/node/{self.client(name).id}/drain", json=body)

    # -- what there is, in every namespace

    def jobs(self) -> tuple[str, ...]:
        """The ids of all jobs that the servers know, dead ones too."""
        return tuple(sorted(job["ID"] for job in self._ask("GET", "/v1/jobs", params={"namespace": "*"})))

    def live_allocations(self) -> tuple[str, ...]:
        """The ids of all allocations that are not over."""
        found = self._ask("GET", "/v1/allocations", params={"namespace": "*"})
        return tuple(sorted(each["ID"] for each in found if each["ClientStatus"] in ("pending", "running")))

    def variables(self) -> tuple[str, ...]:
        """All Nomad Variables, as namespace/path."""
        found = self._ask("GET", "/v1/vars", params={"namespace": "*"})
        return tuple(sorted(f"{each['Namespace']}/{each['Path']}" for each in found))

    def namespaces(self) -> tuple[str, ...]:
        """All namespaces but the one that every cluster has."""
        return tuple(sorted(n["Name"] for n in self._ask("GET", "/v1/namespaces") if n["Name"] != "default"))
