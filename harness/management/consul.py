"""A small typed client of Consul's HTTP API: what the catalogue says of a service, and what its checks say.

Paths and fields: https://developer.hashicorp.com/consul/api-docs, read against Consul 1.22.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from harness.errors import LabError


@dataclass(frozen=True)
class CatalogueEntry:
    """One instance of a service as whoever asks the catalogue is told of it."""

    id: str
    service: str
    address: str
    """Where the service says that it is; the node's own address where it says nothing."""
    port: int
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """One check: passing, warning or critical, and what it last said."""

    id: str
    name: str
    status: str
    output: str
    service_id: str
    """The instance that it is of; empty for a check of the whole node."""


def _entry(data: Mapping[str, Any]) -> CatalogueEntry:
    return CatalogueEntry(
        id=data["ServiceID"],
        service=data["ServiceName"],
        address=data["ServiceAddress"] or data["Address"],
        port=data["ServicePort"],
        tags=tuple(data["ServiceTags"] or ()),
    )


def _check(data: Mapping[str, Any]) -> Check:
    return Check(
        id=data["CheckID"],
        name=data["Name"],
        status=data["Status"],
        output=data["Output"],
        service_id=data["ServiceID"],
    )


class ConsulClient:
    """Owns one HTTP client to one Consul agent.

    Every method raises LabError when Consul does not answer or answers with an error, with its own words.
    """

    def __init__(
        self, transport: httpx.BaseTransport, token: str = "", *, address: str = "http://consul"
    ) -> None:
        """Speak through `transport`; the token goes into a header and nowhere else.

        `address` is the agent's, where the transport is led by it.
        """
        headers = {"X-Consul-Token": token} if token else {}
        self._http = httpx.Client(base_url=address, transport=transport, headers=headers, timeout=10)

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def _get(self, path: str) -> Any:  # noqa: ANN401 - JSON of any shape
        try:
            response = self._http.get(path)
        except httpx.TransportError as error:
            raise LabError(f"Consul does not answer {path}: {error}") from error
        if response.is_error:
            raise LabError(f"Consul refused {path} ({response.status_code})", log=response.text[:500])
        return response.json()

    def version(self) -> str:
        """The agent's version."""
        return str(self._get("/v1/agent/self")["Config"]["Version"])

    def services(self) -> dict[str, tuple[str, ...]]:
        """Every service that the catalogue knows, each with its tags."""
        return {name: tuple(tags) for name, tags in self._get("/v1/catalog/services").items()}

    def service(self, name: str) -> list[CatalogueEntry]:
        """Every instance of a service, whatever its checks say; none where the catalogue knows no such."""
        return [_entry(data) for data in self._get(f"/v1/catalog/service/{name}")]

    def checks(self, name: str) -> list[Check]:
        """The checks of every instance of a service."""
        return [_check(data) for data in self._get(f"/v1/health/checks/{name}")]
