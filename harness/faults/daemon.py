"""What befalls the sidecar: the allocation's tailscaled."""

from harness.faults.fault import SHOWN_SECONDS, Fault
from harness.management.waiting import wait_until


class _DaemonFault(Fault):
    _was = ""

    def _signal(self, signal: str) -> str:
        self._was = self.scene.daemon()
        self.scene.lab.node.host.run("sh", "-c", f'kill -{signal} "$0"', self._was).expect()
        return f"the allocation's tailscaled was sent SIG{signal}"

    def shown(self) -> str:
        """The process is gone; another may be there."""
        wait_until(
            lambda: self.scene.daemon() != self._was,
            seconds=SHOWN_SECONDS,
            what="the allocation's tailscaled has ended",
        )
        return f"process {self._was} has ended"

    def heal(self) -> str:
        """Whether it is started again is Nomad's to decide."""
        return "nothing was done: Nomad restarts it, or ends the allocation"


class Stopped(_DaemonFault):
    """tailscaled is told to end."""

    name = "tailscaled-stopped"
    title = "the sidecar's tailscaled was told to end"

    def inject(self) -> str:
        """SIGTERM."""
        return self._signal("TERM")


class Killed(_DaemonFault):
    """tailscaled crashes."""

    name = "tailscaled-killed"
    title = "the sidecar's tailscaled was killed"

    def inject(self) -> str:
        """SIGKILL."""
        return self._signal("KILL")


class Restarted(_DaemonFault):
    """An operator lets Nomad restart the sidecar."""

    name = "tailscaled-restarted"
    title = "the sidecar was restarted by `nomad alloc restart`"

    def inject(self) -> str:
        """Ask Nomad for it."""
        self._was = self.scene.daemon()
        nomad = self.scene.lab.node.nomad
        task = self.scene.sidecar
        nomad.restart(self.scene.allocation.id, task)
        return f"`nomad alloc restart` was given for task {task}"


FAULTS: tuple[type[Fault], ...] = (Stopped, Killed, Restarted)
