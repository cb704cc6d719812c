"""What a fault is, and where it is injected."""

import json
from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from harness.job.example import Example
from harness.lab.lab import Lab
from harness.lab.member import Member
from harness.lab.running_host import FILES
from harness.management.command import CommandResult
from harness.management.nomad import Allocation
from harness.management.waiting import wait_until

SHOWN_SECONDS = 20
"""So long a fault may take to show. headscale says after some ten seconds that a node is offline."""


@dataclass(frozen=True)
class Scene:
    """Where a fault is injected: a lab, and an allocation of the job that runs in it."""

    lab: Lab
    example: Example
    allocation: Allocation
    namespace: str
    kept: ExitStack = field(default_factory=ExitStack)
    """What the fault holds until it is healed."""

    @property
    def exit(self) -> Member:
        """The exit node that the job leaves by: the first that its smoke.toml names."""
        egress = self.example.smoke.egress
        return self.lab.members[egress.via[0] if egress else self.lab.topology.exits[0].name]

    @property
    def other_exit(self) -> str:
        """The name of an exit node that is not the job's own."""
        return next(h.name for h in self.lab.topology.exits if h.name != self.exit.host.name)

    def node_ids(self, name: str) -> list[str]:
        """The ids of the tailnet's nodes of a name, of which there may be none."""
        return [n.id for n in self.lab.control.client.nodes() if n.name == name]

    def tailscale(self, *arguments: str) -> CommandResult:
        """The tailscale command on the tailscaled of the allocation; exit code 44 where that does not run."""
        return self.lab.node.host.run(f"{FILES}/daemon.sh", self.allocation.id, *arguments)

    def daemon(self) -> str:
        """The process id of the allocation's tailscaled; empty where it does not run."""
        return self.tailscale("pid").stdout.strip()

    @cached_property
    def sidecar(self) -> str:
        """The task that tailscaled runs in."""
        return self.tailscale("task").expect().stdout.strip()

    def exit_in_netmap(self) -> bool:
        """Whether the allocation's tailscaled has, at this moment, the exit node that it is set to use."""
        found = self.tailscale("status", "--json")
        peers: dict[str, Any] = json_of(found).get("Peer") or {}
        return any(peer.get("ExitNode") for peer in peers.values())

    def until_exit_is_lost(self) -> str:
        """Wait until the allocation's tailscaled has lost its exit node; what shows it. Raises LabError."""
        wait_until(
            lambda: not self.exit_in_netmap(), seconds=SHOWN_SECONDS, what="tailscaled has lost its exit node"
        )
        return "the allocation's tailscaled has no exit node in its netmap"


def json_of(result: CommandResult) -> dict[str, Any]:
    """What a command printed as JSON; nothing where it failed."""
    data: dict[str, Any] = json.loads(result.stdout) if result.exit_code == 0 and result.stdout else {}
    return data


class Fault(ABC):
    """Something that goes wrong around a job. One object is one time that it happens."""

    name: ClassVar[str]
    """As it stands in the claim's id."""
    title: ClassVar[str]
    """What happens, as a sentence about the past: "the exit node was deleted on the control server"."""
    kinds: ClassVar[frozenset[str]] = frozenset({"egress", "serve"})
    """The kinds of examples that it can befall."""

    def __init__(self, scene: Scene) -> None:
        """Take the scene; nothing happens yet."""
        self.scene = scene

    @abstractmethod
    def inject(self) -> str:
        """Let it happen; what was done. Raises LabError."""

    @abstractmethod
    def shown(self) -> str:
        """Wait until it shows that it happened; what shows it. Raises LabError."""

    @abstractmethod
    def heal(self) -> str:
        """Undo it, as far as somebody could; what was done. Raises LabError."""
