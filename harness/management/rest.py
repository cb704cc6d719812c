"""A control server's API over HTTP and JSON: asked, and its refusals told as errors."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from harness.errors import LabError

_ASKING_SECONDS = 30
_FIRST = httpx.Timeout(10, connect=3)
"""Of a first question: an address where nobody is shows at once, who has much to do may take a while."""
_SHOWN = 500
"""As many characters of a refusal are shown."""


@dataclass(frozen=True)
class IssuedKey:
    """An auth key: the id by which it is revoked, empty where it is not ours to revoke, and the secret."""

    id: str
    value: str = field(repr=False)


class RestApi:
    """Owns one HTTP client to one server."""

    def __init__(self, transport: httpx.BaseTransport, api_key: str, *, called: str, address: str) -> None:
        """Speak through `transport`; the API key, where there is one, goes into a header and nowhere else.

        Args:
            transport: how the server is reached.
            api_key: of its API.
            called: the program that answers, for errors.
            address: the URL that paths are added to.
        """
        self._called = called
        self._http = httpx.Client(
            base_url=address,
            transport=transport,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=_ASKING_SECONDS,
        )

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def ask(self, method: str, path: str, body: object = None, *, allowed: Sequence[int] = ()) -> Any:  # noqa: ANN401 - JSON of any shape
        """Ask, and read the answer; an empty one, and one with an allowed status code, is an empty dict.

        Raises LabError when nobody answers, when it is refused, and when the answer is no JSON.
        """
        try:
            response = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise LabError(f"{self._called} does not answer {method} {path}: {error}") from error
        if response.status_code in allowed:
            return {}
        if response.is_error:
            raise LabError(
                f"{self._called} refused {method} {path} ({response.status_code})", log=response.text[:_SHOWN]
            )
        if not response.content:
            return {}
        try:
            return response.json()
        except ValueError as error:
            raise LabError(f"{self._called} does not speak JSON at {method} {path}") from error

    def greet(self, path: str) -> httpx.Response:
        """Ask for what any API key may ask for, and give the answer, whatever it is.

        Raises httpx's transport errors, as this is for finding out whether the server can be reached at all.
        """
        return self._http.get(path, timeout=_FIRST)
