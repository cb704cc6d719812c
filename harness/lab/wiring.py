"""The wires as text for iproute2: what the router's end and the host's end of each are given. Pure.

A wire is a veth pair. The host's end holds /32 and /128 addresses and one default route, so every
packet, even to a host of the same LAN, passes the router.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.lab.topology import Host, Topology

GATEWAY_V4 = "169.254.1.1"
"""Every host's IPv4 gateway: link-local, held by the router's loopback, answered on each wire."""
GATEWAY_V6 = "fe80::1"
HOST_DEVICE = "eth0"
UNWIRED: Mapping[str, object] = {"network_mode": "none", "network_disabled": True}
"""The options of a container that has its loopback and waits for a wire; arguments of docker-py's `create`.

Disabled on top of none: Docker would else start a dockerd of a moment to enter the namespace, 90 ms of a
processor for each host. It writes no /etc/hosts and no /etc/resolv.conf then: they come with the wire.
"""
LOCALHOST = "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
"""Every host's /etc/hosts."""


@dataclass(frozen=True)
class Wire:
    """Both ends of one host's wire, each as a batch for `ip -batch`."""

    host: str
    device: str
    """The router's end."""
    router_batch: str
    host_batch: str


def device(host: str) -> str:
    """The name of the router's end of a host's wire."""
    return f"w-{host}"


def wire(host: Host) -> Wire:
    """The wire of one host."""
    end = device(host.name)
    router = [
        f"link set {end} up",
        f"address add {GATEWAY_V6}/64 dev {end} nodad",
        *(f"route add {a}/32 dev {end}" for a in host.v4),
        *(f"route add {a}/128 dev {end}" for a in host.v6),
    ]
    inside = [
        "link set lo up",
        f"link set {HOST_DEVICE} up",
        *(f"address add {a}/32 dev {HOST_DEVICE}" for a in host.v4),
        *(f"address add {a}/128 dev {HOST_DEVICE} nodad" for a in host.v6),
        f"route add {GATEWAY_V4}/32 dev {HOST_DEVICE} scope link",
        f"route add default via {GATEWAY_V4} dev {HOST_DEVICE} src {host.v4[0]}",
        f"route add default via {GATEWAY_V6} dev {HOST_DEVICE} src {host.v6[0]}",
    ]
    return Wire(host.name, end, "\n".join(router) + "\n", "\n".join(inside) + "\n")


def router_batch(topology: Topology) -> str:
    """What the router holds before the first wire is made: its own addresses and the gateway's."""
    return (
        "link set lo up\n"
        f"address add {GATEWAY_V4}/32 dev lo\n"
        f"address add {topology.internet.v4}/32 dev lo\n"
        f"address add {topology.internet.v6}/128 dev lo nodad\n"
    )


def resolvers(topology: Topology) -> str:
    """Every host's /etc/resolv.conf: the lab's DNS."""
    return "".join(f"nameserver {address}\n" for address in (topology.internet.v4, topology.internet.v6))


def zone(topology: Topology) -> str:
    """The lab's DNS as dnsmasq options: every name that exists; all others do not."""
    lines = []
    for host in topology.hosts:
        for name in host.names:
            lines.append(f"host-record={name},{host.v4[0]},{host.v6[0]}")
        for name in host.names_v4:
            lines.append(f"host-record={name},{host.v4[0]}")
        for name in host.names_v6:
            lines.append(f"host-record={name},{host.v6[0]}")
    return "\n".join(lines) + "\n"
