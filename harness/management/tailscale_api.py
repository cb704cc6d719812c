"""A small typed client of Tailscale's API, version 2: devices and auth keys.

Paths and fields: https://tailscale.com/api (OpenAPI of 2025), not tried against the real service here.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx

from harness.ledger.facts import TailnetNode
from harness.management.rest import IssuedKey, RestApi


def _node(data: dict[str, Any]) -> TailnetNode:
    return TailnetNode(
        id=str(data.get("nodeId") or data["id"]),
        # `name` is the full name in the tailnet, `hostname` what the machine calls itself.
        name=str(data["name"]).partition(".")[0],
        addresses=tuple(data.get("addresses") or ()),
        tags=tuple(sorted(data.get("tags") or ())),
        user="" if data.get("tags") else str(data.get("user") or ""),
        ephemeral=bool(data.get("isEphemeral")),
        online=bool(data.get("connectedToControl")),
    )


class TailscaleClient:
    """Owns one HTTP client to Tailscale's API. Every method raises LabError when it refuses."""

    called = "Tailscale's API"

    def __init__(self, transport: httpx.BaseTransport, api_key: str, *, address: str, tailnet: str) -> None:
        """Speak through `transport`; the API key goes into a header and nowhere else.

        Args:
            transport: how the API is reached.
            api_key: an API access token, or one of an OAuth client (scopes auth_keys and devices:core).
            address: the API's URL.
            tailnet: its name; `-` is that of the key.
        """
        self._tailnet = f"/api/v2/tailnet/{quote(tailnet, safe='')}"
        self._api = RestApi(transport, api_key, called=self.called, address=address)

    def close(self) -> None:
        """Close every connection."""
        self._api.close()

    def greet(self) -> httpx.Response:
        """Ask for the list of keys, and give the answer, whatever it is.

        Raises httpx's transport errors, as this is for finding out whether the API can be reached at all.
        """
        return self._api.greet(f"{self._tailnet}/keys")

    def issue_key(
        self, *, tags: Sequence[str], ephemeral: bool, reusable: bool, hours: float, description: str
    ) -> IssuedKey:
        """Make an auth key that carries tags."""
        create = {"reusable": reusable, "ephemeral": ephemeral, "preauthorized": True, "tags": list(tags)}
        made = self._api.ask(
            "POST",
            f"{self._tailnet}/keys",
            {
                "capabilities": {"devices": {"create": create}},
                "expirySeconds": int(hours * 3600),
                "description": description,
            },
        )
        return IssuedKey(str(made["id"]), str(made["key"]))

    def delete_key(self, key: str) -> None:
        """Revoke an auth key, by its id; one that is gone already is no matter."""
        self._api.ask("DELETE", f"{self._tailnet}/keys/{quote(key, safe='')}", allowed=(404,))

    def nodes(self) -> tuple[TailnetNode, ...]:
        """Every node that the tailnet knows."""
        return tuple(_node(d) for d in self._api.ask("GET", f"{self._tailnet}/devices?fields=all")["devices"])

    def exit_routes(self, node: str) -> tuple[str, ...]:
        """The routes of a node that are approved."""
        return tuple(self._api.ask("GET", f"/api/v2/device/{quote(node, safe='')}/routes")["enabledRoutes"])

    def delete(self, node: str) -> None:
        """Take a node out of the tailnet, by its id; one that is out already is no matter."""
        self._api.ask("DELETE", f"/api/v2/device/{quote(node, safe='')}", allowed=(404,))
