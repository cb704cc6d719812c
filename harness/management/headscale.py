"""A small typed client of headscale's REST API (`/api/v1`, the same in headscale 0.28 and 0.29)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from harness.ledger.facts import TailnetNode
from harness.management.rest import IssuedKey, RestApi


@dataclass(frozen=True)
class User:
    """A user of the tailnet."""

    id: str
    name: str


def _node(data: dict[str, Any]) -> TailnetNode:
    key = data.get("preAuthKey") or {}
    user = data.get("user") or {}
    return TailnetNode(
        id=str(data["id"]),
        name=data.get("givenName") or data.get("name") or "",
        addresses=tuple(data.get("ipAddresses") or ()),
        tags=tuple(sorted(data.get("tags") or ())),
        user=user.get("email") or user.get("name") or "",
        ephemeral=bool(key.get("ephemeral")),
        online=bool(data.get("online")),
    )


def _moment(text: str) -> datetime:
    """A moment as headscale writes it, in UTC; to the second, as Go's fractions are longer than Python's."""
    return datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)


class HeadscaleClient:
    """Owns one HTTP client to one headscale. Every method raises LabError when headscale refuses."""

    def __init__(
        self,
        transport: httpx.BaseTransport,
        api_key: str,
        *,
        called: str = "headscale",
        address: str = "http://headscale",
    ) -> None:
        """Speak through `transport`; the API key, where there is one, goes into a header and nowhere else.

        Args:
            transport: how the server is reached.
            api_key: of its API.
            called: the program that answers, for errors: ours speaks a part of this API too.
            address: the server's, where the transport is led by it.
        """
        self._api = RestApi(transport, api_key, called=called, address=address)

    def close(self) -> None:
        """Close every connection."""
        self._api.close()

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, allowed: Sequence[int] = ()
    ) -> dict[str, Any]:
        answer: dict[str, Any] = self._api.ask(method, f"/api/v1/{path}", body, allowed=allowed)
        return answer

    def create_user(self, name: str) -> User:
        """Make a user whose name is an e-mail address, as policies name people."""
        user = self._ask("POST", "user", {"name": name, "email": name})["user"]
        return User(str(user["id"]), user["name"])

    def users(self) -> tuple[User, ...]:
        """Every user, by name; one that has none by its e-mail address."""
        found = self._ask("GET", "user")["users"]
        return tuple(User(str(u["id"]), u.get("name") or u.get("email") or "") for u in found)

    def create_key(
        self,
        *,
        tags: Sequence[str] = (),
        user: User | None = None,
        ephemeral: bool,
        reusable: bool = False,
        hours: float = 1,
    ) -> str:
        """Make a pre-auth key as `issue_key` does, and give the secret alone."""
        return self.issue_key(tags=tags, user=user, ephemeral=ephemeral, reusable=reusable, hours=hours).value

    def issue_key(
        self,
        *,
        tags: Sequence[str] = (),
        user: User | None = None,
        ephemeral: bool,
        reusable: bool = False,
        hours: float = 1,
    ) -> IssuedKey:
        """Make a pre-auth key that carries tags, or belongs to a user."""
        expires = datetime.now(UTC) + timedelta(hours=hours)
        body: dict[str, Any] = {
            "reusable": reusable,
            "ephemeral": ephemeral,
            "expiration": expires.isoformat().replace("+00:00", "Z"),
            "aclTags": list(tags),
        }
        if user:
            body["user"] = user.id
        made = self._ask("POST", "preauthkey", body)["preAuthKey"]
        return IssuedKey(str(made.get("id") or ""), str(made["key"]))

    def delete_key(self, key: str) -> None:
        """Remove a pre-auth key, by its number."""
        self._ask("DELETE", f"preauthkey?id={key}")

    def keys(self) -> tuple[str, ...]:
        """The numbers of all pre-auth keys, those that have expired too."""
        return tuple(str(key["id"]) for key in self._ask("GET", "preauthkey")["preAuthKeys"])

    def greet(self) -> httpx.Response:
        """Ask for something that any API key may ask for, and give the answer, whatever it is.

        Raises httpx's transport errors, as this is for finding out whether the server can be reached at all.
        """
        return self._api.greet("/api/v1/preauthkey")

    def nodes(self) -> tuple[TailnetNode, ...]:
        """Every node that the tailnet knows."""
        return tuple(_node(n) for n in self._ask("GET", "node")["nodes"])

    def delete(self, node: str) -> None:
        """Take a node out of the tailnet, by its id; one that is out already is no matter."""
        self._ask("DELETE", f"node/{node}", allowed=(404,))

    def expire(self, node: str) -> None:
        """Let a node's key expire now."""
        self._ask("POST", f"node/{node}/expire", {})

    def good_keys(self) -> tuple[str, ...]:
        """The ids of the pre-auth keys that have not expired."""
        now = datetime.now(UTC)
        keys = self._ask("GET", "preauthkey")["preAuthKeys"]
        return tuple(str(key["id"]) for key in keys if _moment(key["expiration"]) > now)

    def expire_keys(self) -> int:
        """Revoke every pre-auth key that is good; how many those are."""
        keys = self.good_keys()
        for key in keys:
            self._ask("POST", "preauthkey/expire", {"id": key})
        return len(keys)

    def routes(self, node: str) -> tuple[str, ...]:
        """The routes of a node that are approved."""
        found = self._ask("GET", f"node/{node}")["node"]
        return tuple(sorted(found.get("approvedRoutes") or ()))

    def approve(self, node: str, routes: Sequence[str]) -> tuple[str, ...]:
        """Approve these routes of a node and no others; those that are approved then."""
        answer = self._ask("POST", f"node/{node}/approve_routes", {"routes": list(routes)})["node"]
        return tuple(sorted(answer.get("approvedRoutes") or ()))
