"""The Nomad client of the lab: a Docker engine of its own, Nomad, Consul, the examples' images."""

from dataclasses import dataclass

from harness.lab.running_host import RunningHost
from harness.management.consul import ConsulClient
from harness.management.nomad import NomadClient
from harness.management.waiting import wait_until

_READY_SECONDS = 30
_AGENT = "TCP:127.0.0.1:4646"
_CONSUL = "TCP:127.0.0.1:8500"


@dataclass(frozen=True)
class Node:
    """A Nomad node that is ready: the clients of its agents, and the host below it."""

    host: RunningHost
    nomad: NomadClient
    consul: ConsulClient
    id: str

    def close(self) -> None:
        """Close the clients; the lab removes the host."""
        self.nomad.close()
        self.consul.close()


def connect(host: RunningHost) -> Node:
    """Wait for the agent and its Docker driver. Raises LabError."""
    host.wait_for_listener(_AGENT, seconds=_READY_SECONDS, what="the Nomad agent listens")
    nomad = NomadClient(host.transport("socat", "-", _AGENT))
    wait_until(
        nomad.reachable,
        seconds=_READY_SECONDS,
        what="the Nomad agent answers and has a leader",
        tail=lambda: agent_log(host, "nomad"),
    )
    # It was there before Nomad's agent was started (fixtures/nomad/start.sh).
    consul = ConsulClient(host.transport("socat", "-", _CONSUL))
    return Node(host, nomad, consul, nomad.wait_for_docker(_READY_SECONDS))


def agent_log(host: RunningHost, program: str, lines: int = 25) -> str:
    """The tail of what `nomad` or `dockerd` wrote."""
    return host.run("tail", "-n", str(lines), f"/var/log/{program}.log").stdout
