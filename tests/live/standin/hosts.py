"""The stand-in as data: which hosts there are, and where."""

from ipaddress import IPv4Address, IPv6Address

from harness.lab.topology import Host, Internet, Listen, Membership, Role, Topology

CLIENT_USER = "platform@example.com"
STRANGER_USER = "guest@example.com"
"""Who the tailnet's policy (acl/example-tailscale-acl.json) lets in, and whom not."""

OPERATOR = "operator"
OBSERVER = "observer"
CONSUL = "consul"
SERVERS = ("server-1", "server-2", "server-3")
CLIENTS = ("client-1", "client-2")
EXITS = ("exit-a", "exit-b")
NOTICE = "notice"


def _at(v4: str, v6: str) -> tuple[tuple[IPv4Address, ...], tuple[IPv6Address, ...]]:
    return (IPv4Address(v4),), (IPv6Address(v6),)


def _listens(*texts: str) -> tuple[Listen, ...]:
    return tuple(map(Listen.parse, texts))


_RECEIVER = _listens("http:80/tcp", "https:443/tcp", "tcp:7/tcp", "udp:7/udp")
_EXIT = Membership(tags=("tag:exit",), exit_node=True)
_NOTICE = Membership(tags=("tag:notice",), serves="the noticeboard of this tailnet")

TOPOLOGY = Topology(
    name="stand-in",
    tailnet_domain="tailnet.test",
    internet=Internet(IPv4Address("198.51.100.53"), IPv6Address("2001:db8:53::53")),
    hosts=(
        Host(
            "control",
            Role.CONTROL,
            *_at("198.51.100.10", "2001:db8:10::10"),
            names=("headscale.lab.test",),
            listens=_listens("control:443/tcp", "plain:80/tcp", "stun:3478/udp"),
        ),
        Host(EXITS[0], Role.MEMBER, *_at("198.51.100.20", "2001:db8:20::20"), tailnet=_EXIT),
        Host(EXITS[1], Role.MEMBER, *_at("198.51.100.21", "2001:db8:21::21"), tailnet=_EXIT),
        Host(NOTICE, Role.MEMBER, *_at("198.51.100.32", "2001:db8:32::32"), tailnet=_NOTICE),
        # The public host that a person put the observer on.
        Host(
            OBSERVER,
            Role.ECHO,
            *_at("198.18.80.80", "2001:db8:80::80"),
            names=("observer.lab.test",),
            names_v4=("check4.lab.test",),
            names_v6=("check6.lab.test",),
            listens=_RECEIVER,
        ),
        # The rest of the internet: somebody else's, which nobody looks into.
        Host(
            "world",
            Role.ECHO,
            *_at("198.18.81.81", "2001:db8:81::81"),
            names_v4=("api.ipify.org",),
            names_v6=("api6.ipify.org",),
            listens=_RECEIVER,
        ),
        *(
            Host(name, Role.BYSTANDER, *_at(f"198.18.40.{n}", f"2001:db8:40::{n}"))
            for n, name in enumerate(SERVERS, 1)
        ),
        Host(CONSUL, Role.BYSTANDER, *_at("198.18.40.10", "2001:db8:40::10")),
        *(
            Host(name, Role.NODE, *_at(f"203.0.113.1{n}", f"2001:db8:113::1{n}"))
            for n, name in enumerate(CLIENTS, 1)
        ),
        # A bare host: the harness is run from its network.
        Host(OPERATOR, Role.BYSTANDER, *_at("198.18.50.50", "2001:db8:50::50")),
    ),
)


def address(name: str) -> str:
    """The IPv4 address of a host."""
    return str(TOPOLOGY.host(name).v4[0])
