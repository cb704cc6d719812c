"""A small typed client of headscale's REST API (`/api/v1`, headscale 0.29)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from harness.errors import LabError
from harness.ledger.facts import TailnetNode


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

    def __init__(self, transport: httpx.BaseTransport, api_key: str, *, called: str = "headscale") -> None:
        """Speak through `transport`; the API key, where there is one, goes into a header and nowhere else.

        `called` is the program that answers, for errors: ours speaks a part of this API too.
        """
        self.called = called
        self._http = httpx.Client(
            base_url="http://headscale",
            transport=transport,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=30,
        )

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, allowed: Sequence[int] = ()
    ) -> dict[str, Any]:
        try:
            response = self._http.request(method, f"/api/v1/{path}", json=body)
        except httpx.TransportError as error:
            raise LabError(f"{self.called} does not answer {method} {path}: {error}") from error
        if response.status_code in allowed:
            return {}
        if response.is_error:
            raise LabError(
                f"{self.called} refused {method} {path} ({response.status_code})", log=response.text[:500]
            )
        try:
            answer: dict[str, Any] = response.json()
        except ValueError as error:
            raise LabError(f"{self.called} does not speak JSON at {method} {path}") from error
        return answer

    def create_user(self, name: str) -> User:
        """Make a user whose name is an e-mail address, as policies name people."""
        user = self._ask("POST", "user", {"name": name, "email": name})["user"]
        return User(str(user["id"]), user["name"])

    def create_key(
        self,
        *,
        tags: Sequence[str] = (),
        user: User | None = None,
        ephemeral: bool,
        reusable: bool = False,
        hours: float = 1,
    ) -> str:
        """Make a pre-auth key that carries tags, or belongs to a user. The answer is a secret."""
        expires = datetime.now(UTC) + timedelta(hours=hours)
        body: dict[str, Any] = {
            "reusable": reusable,
            "ephemeral": ephemeral,
            "expiration": expires.isoformat().replace("+00:00", "Z"),
            "aclTags": list(tags),
        }
        if user:
            body["user"] = user.id
        return str(self._ask("POST", "preauthkey", body)["preAuthKey"]["key"])

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
