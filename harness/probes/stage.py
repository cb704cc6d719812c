"""Where episodes run, and where they are written and shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.job.example import Example
from harness.job.here import render_here
from harness.job.rendering import Rendered
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
    nomad: Path
    """The nomad command on this machine, of the version that the lab has."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Images that jobs name by default and the lab has in another version, to the ones that it has."""
    jobs: Sequence[tuple[Example, Rendered]] = ()
    """Examples that were rendered for this lab before it was brought up."""

    def render(self, example: Example) -> Rendered:
        """Render an example's job, as it stands, by the Nomad of the lab's version. Raises UsageError.

        A job whose image the lab has in another version than the job's default is told so by its variable.
        """
        for known, job in self.jobs:
            if known == example:
                return job
        values = site_values(self.lab.topology, self.lab.control.login_server)
        return render_here(example, self.nomad, values, self.images)


def site_values(topology: Topology, login_server: str) -> dict[str, str]:
    """What the placeholders of smoke.toml's [vars] stand for in a lab of this topology."""
    echo = topology.only(Role.ECHO)
    either = echo.names[0]
    # A host without names of one family has them for both.
    fourth, sixth = (*echo.names_v4, either)[0], (*echo.names_v6, either)[0]
    asked = {"": either, "4": fourth, "6": sixth}
    return {
        "login_server": login_server,
        "tailnet_domain": topology.tailnet_domain,
        "check_url": f"http://{either}/",
        **{f"echo:{s}{f}": f"{s}://{name}" for s in ("http", "https") for f, name in asked.items()},
        **{f"egress:{h.name}": ",".join(map(str, (*h.v4, *h.v6))) for h in topology.exits},
    }
