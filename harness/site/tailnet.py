"""The tailnet of a site, as a scenario sees it."""

from typing import Protocol

from harness.lab.topology import CLIENT
from harness.ledger.facts import AttemptSeen, TailnetNode


class Tailnet(Protocol):
    """Who is in it, and what its members reach."""

    @property
    def domain(self) -> str:
        """The domain of its names, such as `tailnet.test`."""

    @property
    def login_server(self) -> str:
        """The URL of its control server."""

    def nodes(self) -> tuple[TailnetNode, ...]:
        """Every node, as the control server has it now. Raises LabError."""

    def create_key(self, *tags: str) -> str:
        """Make an auth key: ephemeral, reusable, with these tags. A secret. Raises LabError."""

    def ask(self, url: str, *, by: str = CLIENT, send: str = "", awaits: str = "") -> AttemptSeen:
        """Let a member ask for something; what came of it is an answer, never an error.

        Args:
            url: `http://name/path`, `https://...`, or `tcp://name:port` for bare TCP.
            by: the member that asks: the client, who may, or the stranger, who may not.
            send: what is sent first over bare TCP.
            awaits: what is read up to, over bare TCP.

        Raises:
            LabError: there is no such member, or it cannot ask at all.
        """
