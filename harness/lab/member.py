"""A member of the tailnet that is not a Nomad job: exit nodes, the client, the stranger."""

import json
from typing import Any

from harness.errors import LabError
from harness.lab.host_plans import TAILSCALE_SOCKET
from harness.lab.running_host import RunningHost
from harness.lab.topology import Host, Membership
from harness.management.command import CommandResult

_JOIN_SECONDS = 60
"""At a load of sixty, twenty were too few."""


class Member:
    """Speaks with a member's tailscaled over its container (which the lab owns)."""

    def __init__(self, host: RunningHost, described: Host) -> None:
        """Take a host that was started. Raises ValueError for one that is no member."""
        if described.tailnet is None:
            raise ValueError(f"{described.name} is no member of the tailnet")
        self.host = host
        self.membership: Membership = described.tailnet

    def tailscale(self, *arguments: str) -> CommandResult:
        """Run the tailscale command of this member."""
        return self.host.run("tailscale", f"--socket={TAILSCALE_SOCKET}", *arguments)

    def wait_until_ready(self) -> None:
        """Wait until tailscaled takes orders. Raises LabError."""
        self.host.wait_for_listener(
            f"UNIX-CONNECT:{TAILSCALE_SOCKET}", seconds=_JOIN_SECONDS, what="tailscaled listens"
        )

    def join(self, login_server: str, auth_key: str) -> None:
        """Join the tailnet and wait until it is in. The key goes over stdin, never into argv or a file."""
        result = self.host.run(
            "tailscale",
            f"--socket={TAILSCALE_SOCKET}",
            "up",
            f"--login-server={login_server}",
            "--auth-key=file:/dev/stdin",
            f"--hostname={self.host.name}",
            # The addresses of Services are routes.
            "--accept-routes",
            f"--advertise-exit-node={str(self.membership.exit_node).lower()}",
            "--accept-dns=false",
            f"--timeout={_JOIN_SECONDS}s",
            stdin=auth_key.encode(),
        )
        if result.exit_code:
            raise LabError(
                f"{self.host.name} does not join the tailnet", log=f"{result.stderr}\n{self.host.log()}"
            )

        if self.membership.serves:
            self.tailscale("serve", "--bg", "--http=80", f"text:{self.membership.serves}").expect()

    def status(self) -> dict[str, Any]:
        """`tailscale status --json`, as data."""
        data: dict[str, Any] = json.loads(self.tailscale("status", "--json").expect().stdout)
        return data
