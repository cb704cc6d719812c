"""A small topology in which all is well, and the words to spoil it with."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from harness.lab.topology import Host, Internet, Listen, Membership, Role, Topology


def host(name: str, role: Role, number: int, **more: object) -> Host:
    """A host with one address of each family, told apart by the number."""
    plain = Host(name, role, (IPv4Address(f"198.51.100.{number}"),), (IPv6Address(f"2001:db8:{number}::1"),))
    return replace(plain, **more)  # type: ignore[arg-type] # the fields are the caller's to know


def listens(*texts: str) -> tuple[Listen, ...]:
    return tuple(map(Listen.parse, texts))


SOUND = Topology(
    name="small",
    tailnet_domain="tailnet.test",
    internet=Internet(IPv4Address("198.51.100.53"), IPv6Address("2001:db8:53::53")),
    hosts=(
        host(
            "control",
            Role.CONTROL,
            10,
            names=("headscale.lab.test",),
            listens=listens("control:443/tcp", "plain:80/tcp", "stun:3478/udp"),
        ),
        host(
            "echo",
            Role.ECHO,
            80,
            names=("echo.lab.test",),
            names_v4=("api.ipify.org",),
            names_v6=("api6.ipify.org",),
            listens=listens("http:80/tcp", "https:443/tcp", "tcp:7/tcp", "udp:7/udp"),
        ),
        host("exit-a", Role.MEMBER, 20, tailnet=Membership(tags=("tag:exit",), exit_node=True)),
        host("client", Role.MEMBER, 30, tailnet=Membership(user="platform@example.com")),
        host("outsider", Role.BYSTANDER, 99),
        host("node", Role.NODE, 110),
    ),
)


def with_host(name: str, /, **changes: object) -> Topology:
    """The sound topology with one host changed."""
    hosts = tuple(
        replace(h, **changes) if h.name == name else h  # type: ignore[arg-type]
        for h in SOUND.hosts
    )
    return replace(SOUND, hosts=hosts)


def without(name: str) -> Topology:
    return replace(SOUND, hosts=tuple(h for h in SOUND.hosts if h.name != name))


def more(*hosts: Host) -> Topology:
    return replace(SOUND, hosts=(*SOUND.hosts, *hosts))
