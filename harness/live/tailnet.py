"""The tailnet of a live site: who joins it, by whose keys, and who is in it; one form for every way."""

from typing import Protocol

import httpx

from harness.errors import LabError, UsageError
from harness.ledger.facts import TailnetNode
from harness.live.reaching import PATIENCE_SECONDS, tailnet_transport, why_unreachable
from harness.live.settings import Belonging, LiveSettings, TailnetSettings
from harness.management.headscale import HeadscaleClient
from harness.management.rest import IssuedKey
from harness.management.tailscale_api import TailscaleClient

_EXIT_ROUTE = "0.0.0.0/0"
_REFUSED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)


class Tailnet(Protocol):
    """What a live run needs of a tailnet. Every method raises LabError when nobody answers."""

    called: str
    """What answers, for people: headscale, Tailscale's API, the file of an auth key."""
    listed: bool
    """Whether its nodes can be listed."""

    def issue(self, belonging: Belonging, hours: float) -> IssuedKey:
        """An auth key, ephemeral and reusable, for whatever belongs so."""

    def revoke(self, key: str) -> None:
        """Remove a key of ours, by its id; one that is gone already is no matter."""

    def nodes(self) -> tuple[TailnetNode, ...]:
        """Every node; nothing where they cannot be listed."""

    def delete(self, node: str) -> None:
        """Take a node of ours out, by its id."""

    def check(self, settings: LiveSettings) -> None:
        """Find out whether the settings are right. Raises UsageError naming the setting."""

    def close(self) -> None:
        """Close every connection."""


def of(settings: TailnetSettings, *, patience: float = PATIENCE_SECONDS) -> Tailnet:
    """The tailnet that the settings name; nothing is asked yet. Raises UsageError."""
    if settings.headscale_key:
        return _Headscale(settings, patience)
    if settings.tailscale_key:
        return _Tailscale(settings, patience)
    return _KeyAlone(settings)


class _Headscale:
    """A headscale, by its REST API."""

    called = "headscale"
    listed = True

    def __init__(self, settings: TailnetSettings, patience: float) -> None:
        self._client = HeadscaleClient(
            tailnet_transport(settings, patience), settings.headscale_key, address=settings.login_server
        )

    def issue(self, belonging: Belonging, hours: float) -> IssuedKey:
        user = None
        if belonging.user:
            user = next((u for u in self._client.users() if u.name == belonging.user), None)
            if user is None:
                raise UsageError(f"TAILNET_CLIENT: headscale has no user {belonging.user}")
        return self._client.issue_key(
            tags=belonging.tags, user=user, ephemeral=True, reusable=True, hours=hours
        )

    def revoke(self, key: str) -> None:
        known = self._client.keys()
        if key in known:
            self._client.delete_key(key)

    def nodes(self) -> tuple[TailnetNode, ...]:
        return self._client.nodes()

    def delete(self, node: str) -> None:
        self._client.delete(node)

    def check(self, settings: LiveSettings) -> None:
        _greeted(self._client.greet, "TAILNET_LOGIN_SERVER", "HEADSCALE_API_KEY")
        nodes = self.nodes()
        _check_exits(settings, nodes, lambda node: self._client.routes(node.id))
        known = {user.name for user in self._client.users()}
        for name, who in (
            ("TAILNET_CLIENT", settings.tailnet.client),
            ("TAILNET_STRANGER", settings.tailnet.stranger),
        ):
            if who and who.user and who.user not in known:
                raise UsageError(
                    f"{name}: headscale has no user {who.user}", remedy=f"its users are {_some(known)}"
                )

    def close(self) -> None:
        self._client.close()


class _Tailscale:
    """A tailnet of Tailscale's, by its API."""

    called = "Tailscale's API"
    listed = True

    def __init__(self, settings: TailnetSettings, patience: float) -> None:
        self._client = TailscaleClient(
            tailnet_transport(settings, patience),
            settings.tailscale_key,
            address=settings.tailscale_api,
            tailnet=settings.tailscale_tailnet,
        )

    def issue(self, belonging: Belonging, hours: float) -> IssuedKey:
        return self._client.issue_key(
            tags=belonging.tags, ephemeral=True, reusable=True, hours=hours, description="notailcar run"
        )

    def revoke(self, key: str) -> None:
        self._client.delete_key(key)

    def nodes(self) -> tuple[TailnetNode, ...]:
        return self._client.nodes()

    def delete(self, node: str) -> None:
        self._client.delete(node)

    def check(self, settings: LiveSettings) -> None:
        _greeted(self._client.greet, "TAILSCALE_API_URL", "TAILSCALE_API_KEY")
        _check_exits(settings, self.nodes(), lambda node: self._client.exit_routes(node.id))

    def close(self) -> None:
        self._client.close()


class _KeyAlone:
    """A tailnet of which nothing is known but one auth key."""

    called = "the auth key of TAILNET_AUTH_KEY_FILE"
    listed = False

    def __init__(self, settings: TailnetSettings) -> None:
        self._key = IssuedKey("", settings.auth_key)

    def issue(self, belonging: Belonging, hours: float) -> IssuedKey:  # noqa: ARG002 - what the key carries, it carries
        return self._key

    def revoke(self, key: str) -> None:
        """Leave it: it is the person's own."""

    def nodes(self) -> tuple[TailnetNode, ...]:
        return ()

    def delete(self, node: str) -> None:
        """Nothing can be taken out."""

    def check(self, settings: LiveSettings) -> None:
        """Nobody can be asked; the first job that joins tells."""

    def close(self) -> None:
        """Nothing is open."""


class _Greets(Protocol):
    def __call__(self) -> httpx.Response: ...


class _Routes(Protocol):
    def __call__(self, node: TailnetNode, /) -> tuple[str, ...]: ...


def _greeted(greet: _Greets, address: str, key: str) -> None:
    """Raise UsageError unless the API answers and takes the key."""
    try:
        answer = greet()
    except httpx.TransportError as error:
        raise why_unreachable(error, address=address, ca="TAILNET_CACERT") from error
    said = answer.text.strip()[:200]
    if answer.status_code in _REFUSED or "unauthorized" in said.lower():
        raise UsageError(
            f"{key}: the API does not take it ({answer.status_code}): it is wrong, or has expired"
        )
    if answer.is_error:
        raise LabError(f"{address}: the API answers {answer.status_code}: {said}")


def _check_exits(settings: LiveSettings, nodes: tuple[TailnetNode, ...], routes: _Routes) -> None:
    """Raise UsageError unless every exit node is in the tailnet, online, and approved as one."""
    by_name = {node.name: node for node in nodes}
    for wanted in settings.exits:
        node = by_name.get(wanted.node.partition(".")[0])
        if node is None:
            raise UsageError(
                f"EXIT_NODES: the tailnet has no node {wanted.node}", remedy=f"it has {_some(by_name)}"
            )
        if not node.online:
            raise UsageError(f"EXIT_NODES: {wanted.node} is offline")
        if _EXIT_ROUTE not in routes(node):
            raise UsageError(
                f"EXIT_NODES: {wanted.node} is not approved as an exit node",
                remedy="approve its routes 0.0.0.0/0 and ::/0 on the control server",
            )


def _some(names: object) -> str:
    """A few names, for an error."""
    found = sorted(names) if isinstance(names, set | dict) else []
    return ", ".join(found[:8]) + (", ..." if len(found) > 8 else "") or "none"  # noqa: PLR2004 - as many as fit a line
