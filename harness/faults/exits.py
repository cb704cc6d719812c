"""What befalls the exit node."""

from harness.faults.dropping import Dropping
from harness.faults.fault import SHOWN_SECONDS, Fault, Scene
from harness.lab import wiring
from harness.lab.member import Member
from harness.management.waiting import wait_until

_EGRESS = frozenset({"egress"})


def renew(scene: Scene, exit_node: Member) -> str:
    """Bring an exit node back as a new node of its old name, whatever became of it. Raises LabError."""
    host = exit_node.host
    if host.state == "running":
        host.kill()
    for node in scene.node_ids(host.name):
        scene.lab.control.client.delete(node)
    host.start_again()
    scene.lab.router.join([host.name])
    exit_node.wait_until_ready()
    control = scene.lab.control
    exit_node.join(control.login_server, control.member_key(exit_node.membership))
    return f"{host.name} was started anew, and joined the tailnet under its name"


class _ExitFault(Fault):
    kinds = _EGRESS

    def heal(self) -> str:
        return renew(self.scene, self.scene.exit)


class Stopped(_ExitFault):
    """The exit node is switched off as its owner would."""

    name = "exit-stopped"
    title = "the exit node was switched off (`tailscale down`)"

    def inject(self) -> str:
        """Let it leave its tailnet, without logging out."""
        self.scene.exit.tailscale("down").expect()
        return f"{self.scene.exit.host.name} was switched off by `tailscale down`"

    def shown(self) -> str:
        """Its own tailscaled says so."""
        state = self.scene.exit.status()["BackendState"]
        wait_until(
            lambda: self.scene.exit.status()["BackendState"] == "Stopped",
            seconds=SHOWN_SECONDS,
            what=f"the exit node stops, which is {state}",
        )
        return f"{self.scene.exit.host.name} says that it is stopped"

    def heal(self) -> str:
        """Switch it on again."""
        self.scene.exit.tailscale("up").expect()
        return f"{self.scene.exit.host.name} was switched on by `tailscale up`"


class Killed(_ExitFault):
    """The exit node's machine is gone from one moment to the next."""

    name = "exit-killed"
    title = "the exit node's machine went away"

    def inject(self) -> str:
        """Kill all that runs on it."""
        self.scene.exit.host.kill()
        return f"every process of {self.scene.exit.host.name} was killed"

    def shown(self) -> str:
        """The engine says so."""
        host = self.scene.exit.host
        wait_until(lambda: host.state == "exited", seconds=SHOWN_SECONDS, what=f"{host.name} has ended")
        return f"the container of {host.name} has ended"


class Blackholed(Dropping):
    """Nothing reaches the exit node any more, and nobody says so."""

    name = "exit-blackholed"
    title = "every packet from and to the exit node was lost"
    kinds = _EGRESS

    def inject(self) -> str:
        """Drop what comes and goes on its wire."""
        name = self.scene.exit.host.name
        wire = wiring.device(name)
        self.drop(f'iifname "{wire}"', f'oifname "{wire}"')
        return f"the router drops every packet of {name}"


class Deleted(_ExitFault):
    """An administrator deletes the exit node on the control server."""

    name = "exit-deleted"
    title = "the exit node was deleted on the control server"

    def inject(self) -> str:
        """Delete it."""
        for node in self.scene.node_ids(self.scene.exit.host.name):
            self.scene.lab.control.client.delete(node)
        return f"{self.scene.exit.host.name} was deleted on the control server"

    def shown(self) -> str:
        """The allocation's tailscaled has heard of it."""
        return self.scene.until_exit_is_lost()


class Expired(_ExitFault):
    """The exit node's key expires."""

    name = "exit-expired"
    title = "the exit node's key expired"

    def inject(self) -> str:
        """Let it expire on the control server."""
        for node in self.scene.node_ids(self.scene.exit.host.name):
            self.scene.lab.control.client.expire(node)
        return f"the key of {self.scene.exit.host.name} expired on the control server"

    def shown(self) -> str:
        """The exit node wants to be logged in again."""
        exit_node = self.scene.exit
        wait_until(
            lambda: exit_node.status()["BackendState"] != "Running",
            seconds=SHOWN_SECONDS,
            what="the exit node hears that its key has expired",
        )
        return f"{exit_node.host.name} is in state {exit_node.status()['BackendState']}"


class Unapproved(_ExitFault):
    """An administrator takes back that the node may be an exit."""

    name = "exit-unapproved"
    title = "the exit node's routes were taken back on the control server"

    def inject(self) -> str:
        """Approve none of its routes."""
        client = self.scene.lab.control.client
        (self._node,) = self.scene.node_ids(self.scene.exit.host.name)
        self._had = client.routes(self._node)
        client.approve(self._node, ())
        return f"{', '.join(self._had)} of {self.scene.exit.host.name} are not approved any more"

    def shown(self) -> str:
        """The allocation's tailscaled has no exit node that offers itself."""
        wait_until(self._refused, seconds=SHOWN_SECONDS, what="tailscaled hears that it is no exit node")
        return f"tailscaled says that {self.scene.exit.host.name} is no exit node"

    def _refused(self) -> bool:
        listed = self.scene.tailscale("exit-node", "list").stdout
        return f"{self.scene.exit.host.name}." not in listed

    def heal(self) -> str:
        """Approve them again."""
        self.scene.lab.control.client.approve(self._node, self._had)
        return f"they are approved again for {self.scene.exit.host.name}"


class Replaced(_ExitFault):
    """The exit node is set up anew: another node, of the same name and address on the internet."""

    name = "exit-replaced"
    title = "the exit node was replaced by a new one of its name"

    def inject(self) -> str:
        """Delete it and set it up anew."""
        return renew(self.scene, self.scene.exit)

    def shown(self) -> str:
        """The allocation's tailscaled knows nothing of the node that it was to use."""
        return self.scene.until_exit_is_lost()

    def heal(self) -> str:
        """Nothing is left to be done: the new one is there."""
        return "the new exit node is there"


class Switched(_ExitFault):
    """The job's tailscaled is told to use another exit node."""

    name = "exit-switched"
    title = "the sidecar was told to use another exit node"

    def inject(self) -> str:
        """Tell it so."""
        self.scene.tailscale("set", f"--exit-node={self.scene.other_exit}").expect()
        return f"the sidecar was told to use {self.scene.other_exit}"

    def shown(self) -> str:
        """Its own tailscaled names the other one."""
        other = self.scene.other_exit
        wait_until(
            lambda: f"{other}." in self._selected(), seconds=SHOWN_SECONDS, what=f"the exit node is {other}"
        )
        return f"tailscaled uses {other}"

    def _selected(self) -> str:
        listed = self.scene.tailscale("exit-node", "list").stdout.splitlines()
        return "\n".join(line for line in listed if "selected" in line)

    def heal(self) -> str:
        """Switch back, where there is somebody to be told."""
        self.scene.tailscale("set", f"--exit-node={self.scene.exit.host.name}")
        return f"the sidecar was told to use {self.scene.exit.host.name}"


FAULTS: tuple[type[Fault], ...] = (
    Stopped,
    Killed,
    Blackholed,
    Deleted,
    Expired,
    Unapproved,
    Replaced,
    Switched,
)
