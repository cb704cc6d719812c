"""What befalls the node's network."""

from harness.errors import LabError
from harness.faults.dropping import Dropping
from harness.faults.fault import SHOWN_SECONDS, Fault
from harness.lab import wiring
from harness.lab.topology import Role
from harness.management.waiting import wait_until


class DnsDown(Dropping):
    """Nobody resolves a name any more."""

    name = "dns-down"
    title = "the resolver did not answer"

    def inject(self) -> str:
        """Drop every look-up."""
        self.drop("udp dport 53", "tcp dport 53")
        return "the router drops every look-up"

    def shown(self) -> str:
        """Some were dropped: those of a host that has nothing to do with the job at least."""
        lab = self.scene.lab
        bystander = lab.topology.with_role(Role.BYSTANDER)[0].name
        url = f"http://{lab.topology.only(Role.ECHO).names[0]}/"
        asked = lab.host(bystander).run("curl", "-sS", "--max-time", "1", "-o", "/dev/null", url)
        dropped = self.dropped()
        if asked.exit_code == 0 or not dropped:
            raise LabError(f"{bystander} still finds {url}: no look-up is dropped")
        return f"{bystander} finds no name any more; the router has dropped {dropped} look-ups"

    def heal(self) -> str:
        """Let them through again."""
        super().heal()
        return "the resolver answers again"


class LinkFlapped(Fault):
    """The node's cable is pulled and put in again."""

    name = "link-flapped"
    title = "the node's link went down and came up again"

    def inject(self) -> str:
        """Take the link down at the router's end, so that the node loses its carrier."""
        self._set("down")
        return "the node's link is down"

    def shown(self) -> str:
        """The node sees no carrier."""
        wait_until(lambda: self._carrier() != "1", seconds=SHOWN_SECONDS, what="the node sees no carrier")
        return "the node sees no carrier on its wire"

    def heal(self) -> str:
        """Bring it up, with the addresses and routes that the kernel took away with it."""
        self._set("up")
        wait_until(lambda: self._carrier() == "1", seconds=SHOWN_SECONDS, what="the node has a carrier")
        name = self.scene.lab.node.host.name
        wires = "/notailcar/wires"
        # Addresses and routes of IPv6 go with the link; those that are still there are no error.
        self.scene.lab.router.host.run("ip", "-force", "-batch", f"{wires}/{name}.router")
        return "the node's link is up again"

    def _set(self, state: str) -> None:
        wire = wiring.device(self.scene.lab.node.host.name)
        self.scene.lab.router.host.run("ip", "link", "set", wire, state).expect()

    def _carrier(self) -> str:
        return self.scene.lab.node.host.run("cat", "/sys/class/net/eth0/carrier").stdout.strip()


FAULTS: tuple[type[Fault], ...] = (DnsDown, LinkFlapped)
