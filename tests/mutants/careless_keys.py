"""A pytest plugin: auth keys as a careless person makes them. The harness's own are what they ought to be.

Tags and ephemerality belong to the key, so no edit of a job can show what becomes of wrong ones.
"""

from collections.abc import Sequence
from typing import Any

from harness.management.headscale import HeadscaleClient

LASTING, BESIDES = "tag:nomad-worker", "tag:nomad-service"
"""Keys for the one tag are not ephemeral; those for the other carry the first one as well."""
_careful = HeadscaleClient.create_key


def _careless(self: HeadscaleClient, *, tags: Sequence[str] = (), ephemeral: bool, **others: Any) -> str:  # noqa: ANN401 - handed on
    wanted = list(tags)
    if wanted == [BESIDES]:
        wanted.append(LASTING)
    return _careful(self, tags=wanted, ephemeral=ephemeral and list(tags) != [LASTING], **others)


def pytest_configure() -> None:
    """Make keys that way from now on, in this process."""
    HeadscaleClient.create_key = _careless  # type: ignore[method-assign]
