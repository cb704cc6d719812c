"""A live site as a topology: the exit nodes of the settings, so that a report can call them by name."""

import os
from ipaddress import IPv4Address, IPv6Address, ip_address

from harness.lab.topology import Host, Internet, Membership, Role, Topology
from harness.live import settings

_NOWHERE = Internet(IPv4Address(0), IPv6Address(0))


def described() -> Topology:
    """The exit nodes of this process's settings, and nothing else. Raises UsageError.

    It is no lab's, so it has neither the hosts nor the addresses that `topology.validate` asks for.
    """
    told = settings.read(os.environ)
    hosts = []
    for exit_node in told.exits:
        parsed = [ip_address(a) for a in exit_node.addresses]
        hosts.append(
            Host(
                exit_node.name,
                Role.MEMBER,
                tuple(a for a in parsed if isinstance(a, IPv4Address)),
                tuple(a for a in parsed if isinstance(a, IPv6Address)),
                tailnet=Membership(exit_node=True),
            )
        )
    return Topology("live", told.tailnet.domain, _NOWHERE, tuple(hosts))
