"""What addresses say by themselves."""

import pytest

from harness.claims.addresses import family, is_one_host, stays_on_link


@pytest.mark.parametrize(
    ("address", "kind", "on_link", "one_host"),
    [
        ("198.18.80.80", "IPv4", False, True),
        ("2001:db8:80::80", "IPv6", False, True),
        ("fe80::1", "IPv6", True, False),
        ("fe80::1%eth0", "IPv6", True, False),
        ("ff02::16", "IPv6", True, False),
        ("ff05::2", "IPv6", False, False),
        ("fec0::1", "IPv6", False, True),
        ("169.254.1.1", "IPv4", False, False),
        ("224.0.0.22", "IPv4", False, False),
        ("::", "IPv6", False, False),
        ("0.0.0.0", "IPv4", False, False),  # noqa: S104
        ("", "", False, False),
        ("echo", "", False, False),
        ("198.18.80.80:443", "", False, False),
    ],
)
def test_addresses(address: str, kind: str, on_link: bool, one_host: bool) -> None:
    assert (family(address), stays_on_link(address), is_one_host(address)) == (kind, on_link, one_host)
