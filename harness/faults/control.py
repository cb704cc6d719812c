"""What befalls the control server, and what it does to the job's own node and key."""

from ipaddress import IPv4Address

from harness.errors import LabError
from harness.faults.dropping import Dropping
from harness.faults.fault import SHOWN_SECONDS, Fault
from harness.lab import wiring
from harness.lab.topology import CLIENT, Role
from harness.management.waiting import wait_until


class _ControlAway(Dropping):
    def _cut(self) -> str:
        control = self.scene.lab.topology.only(Role.CONTROL)
        wire = wiring.device(control.name)
        self.drop(f'oifname "{wire}"', f'iifname "{wire}"')
        return f"the router drops every packet of {control.name}"


class Down(_ControlAway):
    """The control server and its DERP relay are away, while the tailnet is up."""

    name = "control-down"
    title = "the control server and its DERP relay were away"

    def inject(self) -> str:
        """Drop what comes and goes on its wire."""
        return self._cut()


class DownCold(_ControlAway):
    """The control server and its DERP relay are away, and tailscaled starts anew."""

    name = "control-down-cold"
    title = "tailscaled was restarted while the control server and its DERP relay were away"

    def inject(self) -> str:
        """Drop what comes and goes on its wire; then let Nomad restart the sidecar."""
        done = self._cut()
        self._was = self.scene.daemon()
        self.scene.lab.node.nomad.restart(self.scene.allocation.id, self.scene.sidecar)
        return f"{done}, and `nomad alloc restart` was given for task {self.scene.sidecar}"

    def shown(self) -> str:
        """Packets are dropped, and the process is another, or none."""
        wait_until(
            lambda: self.scene.daemon() != self._was, seconds=SHOWN_SECONDS, what="tailscaled has ended"
        )
        return f"{super().shown()}; process {self._was} has ended"


class RelayDown(Dropping):
    """The DERP relay is away, and with it who tells a host its address (STUN); the control server answers."""

    name = "derp-down"
    title = "the DERP relay was away"

    def inject(self) -> str:
        """Drop what is for its address and what comes from it, and every STUN request."""
        lab = self.scene.lab
        control = lab.topology.only(Role.CONTROL)
        v4, v6 = control.relay
        if v4 == control.v4[0] or v6 == control.v6[0]:
            raise LabError(
                f"{control.name} has one address, so that its DERP relay cannot be lost alone",
                remedy=f"give host.{control.name} a second v4 and a second v6 address in the topology",
            )
        self.drop(
            *(f"ip {end} {v4}" for end in ("saddr", "daddr")),
            *(f"ip6 {end} {v6}" for end in ("saddr", "daddr")),
            f"udp dport {control.port('stun')}",
        )
        return f"the router drops every packet of the DERP relay ({v4}, {v6}) and every STUN request"

    def shown(self) -> str:
        """A member of the tailnet gets no answer from it, and gets one from the control server."""
        lab = self.scene.lab
        control = lab.topology.only(Role.CONTROL)
        name, port = control.names[0], control.port("control")
        asked = lab.host(CLIENT)

        def answers(address: IPv4Address) -> bool:
            found = ("--resolve", f"{name}:{port}:{address}", f"https://{name}:{port}/generate_204")
            return asked.run("curl", "-s", "-o", "/dev/null", "--max-time", "1", *found).exit_code == 0

        if answers(control.relay[0]) or not answers(control.v4[0]) or not self.dropped():
            raise LabError(f"{CLIENT} still reaches the relay, or the control server no more")
        return f"{CLIENT} reaches the control server and not the relay; the router has dropped packets"


class KeyRevoked(Fault):
    """Every pre-auth key is revoked, that of the job among them."""

    name = "key-revoked"
    title = "every pre-auth key was revoked on the control server"

    def inject(self) -> str:
        """Revoke them."""
        self._keys = self.scene.lab.control.revoke_keys()
        return f"{self._keys} pre-auth keys were revoked"

    def shown(self) -> str:
        """The control server lists none that is good."""
        wait_until(
            lambda: not self.scene.lab.control.client.good_keys(),
            seconds=SHOWN_SECONDS,
            what="no pre-auth key is good",
        )
        return "the control server lists no pre-auth key that is good"

    def heal(self) -> str:
        """Who has joined needs none."""
        return "nothing was done: who has joined needs no key"


class NodeDeleted(Fault):
    """An administrator deletes the job's own node."""

    name = "node-deleted"
    title = "the job's own node was deleted on the control server"

    def inject(self) -> str:
        """Delete it."""
        client = self.scene.lab.control.client
        own = set(self.scene.tailscale("ip").expect().stdout.split())
        (self._node,) = (n for n in client.nodes() if own & set(n.addresses))
        client.delete(self._node.id)
        return f"{self._node.name} was deleted on the control server"

    def shown(self) -> str:
        """The control server lists it no more."""
        client = self.scene.lab.control.client
        wait_until(
            lambda: self._node.id not in {n.id for n in client.nodes()},
            seconds=SHOWN_SECONDS,
            what="the control server lists it no more",
        )
        return "the control server does not list it any more"

    def heal(self) -> str:
        """Nobody can bring back a node that was deleted."""
        return "nothing was done: a new allocation would be a new node"


FAULTS: tuple[type[Fault], ...] = (Down, DownCold, RelayDown, KeyRevoked, NodeDeleted)
