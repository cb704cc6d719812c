"""Packets that the router loses, whoever they belong to."""

from harness.faults.fault import SHOWN_SECONDS, Fault
from harness.management.waiting import wait_until


class Dropping(Fault):
    """A fault in which the router drops some packets until it is healed."""

    def drop(self, *matches: str) -> None:
        """Drop every forwarded packet that one of these nftables matches holds for. Raises LabError."""
        self._dropping = self.scene.kept.enter_context(self.scene.lab.router.dropping(*matches))

    def dropped(self) -> int:
        """How many packets were dropped until now. Raises LabError."""
        return self._dropping.packets()

    def shown(self) -> str:
        """The router has dropped some."""
        dropped = wait_until(
            lambda: self.dropped() or None, seconds=SHOWN_SECONDS, what="packets are dropped"
        )
        return f"the router has dropped {dropped} packets"

    def heal(self) -> str:
        """Let them through again."""
        self.scene.kept.close()
        return "the router drops no packet any more"
