"""The lab as plain data, and everything that can be wrong with it. No Docker here."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

CLIENT = "client"
"""The member of the tailnet that may use what jobs serve."""
STRANGER = "stranger"
"""The member that may not."""
_LAST_PORT = 65535


class Role(StrEnum):
    """What a host is for: it decides the image and what runs in it."""

    CONTROL = "control"
    ACME = "acme"
    ECHO = "echo"
    MEMBER = "member"
    BYSTANDER = "bystander"
    NODE = "node"


class ControlProgram(StrEnum):
    """What runs on the control host: headscale, or a server of ours for what headscale lacks."""

    HEADSCALE = "headscale"
    LABCONTROL = "labcontrol"
    """Tailscale Services, and HTTPS certificates from the ACME server of the lab's internet."""


@dataclass(frozen=True)
class Membership:
    """How a host belongs to the tailnet: by tags, or as a user's own device."""

    tags: tuple[str, ...] = ()
    user: str | None = None
    exit_node: bool = False
    serves: str = ""
    """A text that it serves to the tailnet by HTTP: a noticeboard; empty for most."""


@dataclass(frozen=True)
class Listen:
    """A service of a host: `http:80/tcp`."""

    service: str
    port: int
    protocol: str

    @classmethod
    def parse(cls, text: str) -> "Listen":
        """Read `service:port/protocol`. Raises ValueError with the text in it."""
        service, _, rest = text.partition(":")
        port, _, protocol = rest.partition("/")
        if not (service and port.isdecimal() and 0 < int(port) <= _LAST_PORT and protocol in ("tcp", "udp")):
            raise ValueError(f"{text!r} is not of the form service:port/tcp or service:port/udp")
        return cls(service, int(port), protocol)


@dataclass(frozen=True)
class Host:
    """One host. The first address of a family is its public one; more are on a LAN of its own.

    Of the control server, the last one of a family is its DERP relay's.
    """

    name: str
    role: Role
    v4: tuple[IPv4Address, ...]
    v6: tuple[IPv6Address, ...]
    names: tuple[str, ...] = ()
    """DNS names that resolve to its public IPv4 and IPv6 addresses."""
    names_v4: tuple[str, ...] = ()
    """DNS names that resolve to its public IPv4 address alone."""
    names_v6: tuple[str, ...] = ()
    """DNS names that resolve to its public IPv6 address alone."""
    listens: tuple[Listen, ...] = ()
    tailnet: Membership | None = None
    browser: bool = False
    """Whether it has a browser, to look at pages with."""
    image: str = ""
    """An image of one's own to start it from, made FROM that of its role; empty: that of its role."""

    @property
    def all_names(self) -> tuple[str, ...]:
        """Every DNS name of it."""
        return (*self.names, *self.names_v4, *self.names_v6)

    @property
    def addresses(self) -> frozenset[str]:
        """All its addresses, as text."""
        return frozenset(map(str, (*self.v4, *self.v6)))

    @property
    def relay(self) -> tuple[IPv4Address, IPv6Address]:
        """Where the DERP relay of a control server is reached: its own address where there is but one."""
        return self.v4[-1], self.v6[-1]

    def port(self, service: str) -> int:
        """The port of a service that it listens on. Raises KeyError."""
        for listen in self.listens:
            if listen.service == service:
                return listen.port
        raise KeyError(f"{self.name} has no service {service}")


@dataclass(frozen=True)
class Internet:
    """The router's own addresses: the resolver of every host."""

    v4: IPv4Address
    v6: IPv6Address
    name: str = "internet"

    @property
    def addresses(self) -> frozenset[str]:
        """Both addresses, as text."""
        return frozenset((str(self.v4), str(self.v6)))


@dataclass(frozen=True)
class Topology:
    """All hosts, the router between them and the tailnet's domain."""

    name: str
    tailnet_domain: str
    internet: Internet
    hosts: tuple[Host, ...]
    program: ControlProgram = ControlProgram.HEADSCALE
    policy: str = ""
    """The file of the tailnet's policy; empty: the one that ships with NoTailCar.

    In a topology file, its path is relative to that file.
    """
    images: tuple[str, ...] = ()
    """Images that are offered in the node's engine besides those of the lab and those that jobs name."""
    lasting_agent: bool = False
    headscale: str = ""
    """The version of headscale that runs it, where that is not the default."""
    """Whether the node's Nomad agent is a client alone, which keeps what it knows and may be restarted."""

    def host(self, name: str) -> Host:
        """The host of that name. Raises KeyError."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(f"no host {name} in the topology; there are {', '.join(h.name for h in self.hosts)}")

    def with_role(self, role: Role) -> tuple[Host, ...]:
        """All hosts of a role, in the topology's order."""
        return tuple(h for h in self.hosts if h.role is role)

    def only(self, role: Role) -> Host:
        """The one host of a role; `validate` has seen to it that there is one."""
        (host,) = self.with_role(role)
        return host

    def run_by(self, program: ControlProgram) -> "Topology":
        """This topology as it is with a control program.

        The ACME server is there for labcontrol alone, and a browser beside it: what is for people is
        served by HTTPS.
        """
        if program is ControlProgram.LABCONTROL:
            return replace(self, program=program)
        hosts = tuple(replace(h, browser=False) for h in self.hosts if h.role is not Role.ACME)
        return replace(self, hosts=hosts, program=program)

    def with_names(self, names: Iterable[str]) -> "Topology":
        """This topology with more public names that lead to the echo service; those that there are stay."""
        known = {name for host in self.hosts for name in host.all_names}
        added = tuple(name for name in dict.fromkeys(names) if name not in known)
        hosts = (
            replace(host, names=(*host.names, *added)) if host.role is Role.ECHO else host
            for host in self.hosts
        )
        return replace(self, hosts=tuple(hosts)) if added else self

    @property
    def members(self) -> frozenset[str]:
        """The names of the hosts that are in the tailnet from the start."""
        return frozenset(h.name for h in self.hosts if h.tailnet is not None)

    @property
    def exits(self) -> tuple[Host, ...]:
        """The exit nodes."""
        return tuple(h for h in self.hosts if h.tailnet and h.tailnet.exit_node)

    @property
    def users(self) -> tuple[str, ...]:
        """The tailnet users that members belong to."""
        return tuple(sorted({h.tailnet.user for h in self.hosts if h.tailnet and h.tailnet.user}))


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a topology: where (a key), and what."""

    where: str
    what: str


_DEVICE_NAME_LIMIT = 15  # IFNAMSIZ - 1 (linux/if.h); a wire's device is `w-` and the host's name


def validate(topology: Topology) -> list[Problem]:
    """Everything that would keep this topology from running as meant; an empty list when it is sound."""
    return [
        *_repeated(topology),
        *_names(topology),
        *_roles(topology),
        *_tailnet(topology),
    ]


def _repeated(topology: Topology) -> Iterator[Problem]:
    names = Counter(h.name for h in topology.hosts)
    names[topology.internet.name] += 1
    for name, count in names.items():
        if count > 1:
            yield Problem(f"host.{name}", f"the name is used {count} times")
    holders: dict[str, list[str]] = {}
    for address in sorted(topology.internet.addresses):
        holders.setdefault(address, []).append(topology.internet.name)
    for host in topology.hosts:
        for held in (*host.v4, *host.v6):
            holders.setdefault(str(held), []).append(host.name)
    for address, hosts in holders.items():
        if len(hosts) > 1:
            yield Problem(
                f"host.{hosts[-1]}", f"the address {address} is used twice: by {' and '.join(hosts)}"
            )
    for host in topology.hosts:
        ports = Counter((x.port, x.protocol) for x in host.listens)
        for (port, protocol), count in ports.items():
            if count > 1:
                yield Problem(
                    f"host.{host.name}.listens", f"the port {port}/{protocol} is used {count} times"
                )
    dns = Counter(n for h in topology.hosts for n in h.all_names)
    for name, count in dns.items():
        if count > 1:
            yield Problem("host.names", f"the DNS name {name} belongs to {count} hosts")


def _names(topology: Topology) -> Iterator[Problem]:
    for host in topology.hosts:
        label = host.name.replace("-", "")
        if not (label.isascii() and label.isalnum() and host.name == host.name.lower()):
            yield Problem(f"host.{host.name}", "a name holds lower-case letters, digits and hyphens only")
        if len(host.name) + 2 > _DEVICE_NAME_LIMIT:
            yield Problem(f"host.{host.name}", f"a name has at most {_DEVICE_NAME_LIMIT - 2} characters")
        if not host.v4 or not host.v6:
            yield Problem(
                f"host.{host.name}", "every host has an IPv4 and an IPv6 address: both are observed"
            )


def _roles(topology: Topology) -> Iterator[Problem]:
    for role in (Role.CONTROL, Role.ECHO, Role.NODE):
        found = topology.with_role(role)
        if len(found) != 1:
            names = ", ".join(h.name for h in found) or "none"
            yield Problem("host.role", f"exactly one host has the role {role}; here: {names}")
    acme = topology.with_role(Role.ACME)
    if len(acme) > 1:
        yield Problem(
            "host.role", f"at most one host has the role acme; here: {', '.join(h.name for h in acme)}"
        )
    needed: dict[Role, tuple[str, ...]] = {
        Role.CONTROL: ("control", "plain", "stun", *(["dns"] if acme else [])),
        Role.ECHO: ("http", "https", "tcp", "udp"),
        Role.ACME: ("https",),
    }
    for host in topology.hosts:
        offered = {x.service for x in host.listens}
        for service in needed.get(host.role, ()):
            if service not in offered:
                yield Problem(
                    f"host.{host.name}.listens", f"a host of role {host.role} listens for {service}"
                )
        if host.role in needed and not host.names:
            yield Problem(f"host.{host.name}.names", f"a host of role {host.role} has a DNS name")


def _tailnet(topology: Topology) -> Iterator[Problem]:
    for host in topology.hosts:
        where = f"host.{host.name}.tailnet"
        if (host.role is Role.MEMBER) != (host.tailnet is not None):
            yield Problem(where, "a host of role member, and no other, has a [host.tailnet]")
        if host.browser and host.role is not Role.MEMBER:
            yield Problem(f"host.{host.name}.browser", "only a member of the tailnet has a browser")
        if host.tailnet is None:
            continue
        if bool(host.tailnet.tags) == bool(host.tailnet.user):
            yield Problem(where, "a member has either tags or a user")
        for tag in host.tailnet.tags:
            if not tag.startswith("tag:"):
                yield Problem(where, f"{tag!r} is not a tag: tags begin with tag:")
    for host in topology.with_role(Role.CONTROL):
        for name in host.names:
            # headscale refuses to start then (hscontrol/types/config.go).
            if name == topology.tailnet_domain or name.endswith("." + topology.tailnet_domain):
                yield Problem("tailnet_domain", f"it must not contain the control server's name {name}")
    if not topology.exits:
        yield Problem("host.tailnet.exit_node", "no host is an exit node")
