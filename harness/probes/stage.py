"""Where episodes run, and where they are written and shown."""

from dataclasses import dataclass

from harness.job.example import Example
from harness.job.rendering import Rendered, render
from harness.lab.lab import Lab
from harness.lab.topology import Role, Topology
from harness.ledger.ledger import Ledger
from harness.run.progress import Progress
from harness.run.run import Run

CHECK_LIE = "203.0.113.66"
"""An address that no host of the lab has: what a lying check service answers."""


@dataclass(frozen=True)
class Stage:
    """What an episode needs: the lab, the run that owns it, the ledger and the terminal."""

    lab: Lab
    run: Run
    ledger: Ledger
    progress: Progress

    def render(self, example: Example) -> Rendered:
        """Render an example's job, as it stands, on the Nomad node. Raises UsageError."""
        values = site_values(self.lab.topology, self.lab.control.login_server)
        return render(example, self.lab.node.host, values)


def site_values(topology: Topology, login_server: str) -> dict[str, str]:
    """What the placeholders of smoke.toml's [vars] stand for in a lab of this topology."""
    return {
        "login_server": login_server,
        "tailnet_domain": topology.tailnet_domain,
        "check_url": f"http://{topology.only(Role.ECHO).names[0]}/",
        **{f"egress:{h.name}": ",".join(map(str, (*h.v4, *h.v6))) for h in topology.exits},
    }
