"""The control server of the lab: headscale, or ours, reached over its REST API through the container.

labcontrol answers the part of headscale's API that is used here, so that what follows knows no difference.
"""

import threading

from harness.lab.host_plans import LABCONTROL_SOCKET
from harness.lab.running_host import FILES, RunningHost
from harness.lab.topology import ControlProgram, Host, Membership, Topology
from harness.management.headscale import HeadscaleClient, User
from harness.management.waiting import wait_until

_READY_SECONDS = 20
_KEY_LIFE = "24h"
_TRUST = "/etc/ssl/certs/ca-certificates.crt"


class Control:
    """A control server that is ready.

    Attributes:
        host: the host that it runs in.
        client: its REST API.
        users: the tailnet's users, by name.
        login_server: its URL, for members.
    """

    def __init__(
        self, host: RunningHost, client: HeadscaleClient, users: dict[str, User], login_server: str
    ) -> None:
        """Take a control server that answers."""
        self.host = host
        self.client = client
        self.users = users
        self.login_server = login_server
        self._keys: dict[Membership, str] = {}
        self._lock = threading.Lock()

    def member_key(self, membership: Membership) -> str:
        """A pre-auth key for a member; members that belong alike share one, as each costs 0.3 s."""
        with self._lock:
            if membership not in self._keys:
                user = self.users[membership.user] if membership.user else None
                self._keys[membership] = self.client.create_key(
                    tags=membership.tags, user=user, ephemeral=True, reusable=True
                )
            return self._keys[membership]

    def revoke_keys(self) -> int:
        """Revoke every pre-auth key that there is; how many those are. Members that come get new ones."""
        with self._lock:
            self._keys.clear()
            return self.client.expire_keys()

    def close(self) -> None:
        """Close the client; the lab removes the host."""
        self.client.close()


def connect(host: RunningHost, described: Host, topology: Topology) -> Control:
    """Wait for the control server, make the tailnet's users. Raises LabError."""
    name = described.names[0]
    make = _headscale if topology.program is ControlProgram.HEADSCALE else _labcontrol
    client = make(host, name, described.port("control"))
    users = {user: client.create_user(user) for user in topology.users}
    return Control(host, client, users, f"https://{name}")


def _labcontrol(host: RunningHost, _: str, port: int) -> HeadscaleClient:
    """Wait for it; whoever reaches its socket may give orders, so there is no API key."""
    for address in (f"TCP:127.0.0.1:{port}", f"UNIX-CONNECT:{LABCONTROL_SOCKET}"):
        host.wait_for_listener(address, seconds=_READY_SECONDS, what="labcontrol listens")
    transport = host.transport("socat", "-", f"UNIX-CONNECT:{LABCONTROL_SOCKET}")
    return HeadscaleClient(transport, "", called="labcontrol")


def _headscale(host: RunningHost, name: str, port: int) -> HeadscaleClient:
    """Wait for it, and take an API key."""
    host.wait_for_listener(f"TCP:127.0.0.1:{port}", seconds=_READY_SECONDS, what="headscale listens")
    health = ("curl", "-sf", "--resolve", f"{name}:{port}:127.0.0.1", f"https://{name}:{port}/health")
    wait_until(
        lambda: host.run(*health).exit_code == 0,
        seconds=_READY_SECONDS,
        what="headscale answers /health",
        tail=host.log,
    )
    api_key = host.run(f"{FILES}/key.sh", _KEY_LIFE).expect().stdout.strip()
    transport = host.transport("socat", "-", f"OPENSSL:127.0.0.1:{port},cafile={_TRUST},commonname={name}")
    return HeadscaleClient(transport, api_key)
