"""What an address says by itself. Text that is no address has no family and is on no link."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_LINK_LOCAL = IPv6Network("fe80::/10")
_LINK_LOCAL_MULTICAST = IPv6Network("ff02::/16")


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None


def family(address: str) -> str:
    """Give `IPv4` or `IPv6`, or an empty text for what is no address."""
    parsed = _parsed(address)
    return "" if parsed is None else f"IPv{parsed.version}"


def stays_on_link(address: str) -> bool:
    """Whether this is an IPv6 destination that no router forwards: fe80::/10 or ff02::/16."""
    parsed = _parsed(address)
    return isinstance(parsed, IPv6Address) and (parsed in _LINK_LOCAL or parsed in _LINK_LOCAL_MULTICAST)


def is_one_host(address: str) -> bool:
    """Whether this is an address that one distant host can have: neither multicast nor link-local."""
    parsed = _parsed(address)
    return parsed is not None and not (parsed.is_multicast or parsed.is_link_local or parsed.is_unspecified)
