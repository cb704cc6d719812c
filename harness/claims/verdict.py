"""The verdict, and what a claim is judged against."""

from dataclasses import dataclass, field
from enum import StrEnum

from harness.ledger.ledger import Observation


class Outcome(StrEnum):
    """What is known: proven and refuted rest on observations, unproven says which were missing."""

    PROVEN = "proven"
    REFUTED = "refuted"
    UNPROVEN = "unproven"


@dataclass(frozen=True)
class Verdict:
    """What a claim came to, why, and the observations that it rests on."""

    outcome: Outcome
    reason: str
    """One sentence for a person, with figures."""
    evidence: tuple[Observation, ...] = ()
    controls: tuple[Observation, ...] = ()
    """The positive controls: what the same observer shows when there is something to see."""


@dataclass(frozen=True)
class HostAddresses:
    """A host of the lab as claims know it."""

    name: str
    addresses: frozenset[str]


@dataclass(frozen=True)
class Served:
    """One thing that an example promises to serve, and how it answers."""

    pattern: str
    """As smoke.toml has it: `http://{host}/`, or `tcp://{host}:5432`."""
    status: int
    """Of the HTTP answer; without meaning for bare TCP."""
    contains: str
    service: str = ""
    """The Tailscale Service that it is a part of, if it is."""

    @property
    def by_short_name(self) -> bool:
        """Whether it can be had by the short name.

        No certificate is made out to that; and a member in userspace mode knows a Service by its full name
        alone (tailscale v1.102, ipn/ipnlocal/node_backend.go, extraDNS).
        """
        return not (self.service or self.pattern.startswith("https:"))

    @property
    def bare(self) -> bool:
        """Whether it is bare TCP."""
        return self.pattern.startswith("tcp:")


@dataclass(frozen=True)
class Expectation:
    """What an example promises (its smoke.toml) and where things are (the topology): a claim's other half."""

    subject: str
    tags: frozenset[str]
    via: tuple[HostAddresses, ...]
    """The hosts its traffic may leave by, in any order."""
    fallback: tuple[HostAddresses, ...] = ()
    serve: tuple[Served, ...] = ()
    """What it serves, in the order of smoke.toml."""
    node: HostAddresses = field(default_factory=lambda: HostAddresses("node", frozenset()))
    """The Nomad client: its public and LAN addresses."""
    control: HostAddresses = field(default_factory=lambda: HostAddresses("control", frozenset()))
    resolver: HostAddresses = field(default_factory=lambda: HostAddresses("internet", frozenset()))
    infrastructure_names: frozenset[str] = frozenset()
    """The names a node may ask its own resolver for: the login server's."""
    hosts: tuple[HostAddresses, ...] = ()
    """Every host, so that a reason can name who was talked to."""
    sidecars: frozenset[str] = frozenset({"tailscale"})
    """Prestart tasks that stay: tailscaled."""
    guards: frozenset[str] = frozenset({"egress-guard"})
    """Prestart tasks that end: what must succeed before a worker starts."""
    workers: frozenset[str] = frozenset({"worker"})
    """Main tasks."""
    sealed: frozenset[str] = frozenset()
    """Those of them that are not on the node's network, so that a backend answers in their own."""
    periodic: bool = False
    """Whether it is launched by a schedule."""
    registered: tuple[str, ...] = ()
    """The names of the services that it registers with Consul."""
    outside: frozenset[str] = frozenset()
    """The hosts that are in no tailnet: on the internet, and on the node's LAN."""
    members: frozenset[str] = frozenset()
    """The lab's own members of the tailnet, exit nodes among them."""

    def host_of(self, address: str) -> str:
        """The host that an address belongs to, or the address itself where no host has it."""
        return next((h.name for h in self.hosts if address in h.addresses), address)
