"""What befalls the allocation as a whole."""

from harness.faults.fault import SHOWN_SECONDS, Fault
from harness.management.waiting import wait_until


class Rescheduled(Fault):
    """Nomad stops the allocation and places it anew."""

    name = "allocation-moved"
    title = "the allocation was stopped and placed anew by `nomad alloc stop`"

    def inject(self) -> str:
        """Ask Nomad for it."""
        self.scene.lab.node.nomad.move(self.scene.allocation.id)
        return "the allocation was stopped by `nomad alloc stop`"

    def shown(self) -> str:
        """Another allocation has been placed."""
        nomad, old = self.scene.lab.node.nomad, self.scene.allocation
        new = wait_until(
            lambda: [a for a in nomad.allocations(self.scene.namespace) if a.id != old.id] or None,
            seconds=SHOWN_SECONDS,
            what="another allocation is placed",
        )
        return f"allocation {new[0].id[:8]} was placed"

    def heal(self) -> str:
        """The new one is what heals."""
        return "nothing was done: the new allocation takes over"


FAULTS: tuple[type[Fault], ...] = (Rescheduled,)
