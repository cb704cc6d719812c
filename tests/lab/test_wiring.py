"""The wires as text: everything that has an address is reached, IPv6 as IPv4."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from harness.assembly import default_topology
from harness.lab import topology_file, wiring
from harness.lab.topology import Host
from tests.lab.build import SOUND, with_host

SHIPPED = topology_file.load(default_topology())
EVERY_HOST = pytest.mark.parametrize("host", SHIPPED.hosts, ids=lambda h: h.name)


@EVERY_HOST
def test_every_address_has_a_route_at_the_router_and_a_place_in_the_host(host: Host) -> None:
    wire = wiring.wire(host)
    router, inside = wire.router_batch.splitlines(), wire.host_batch.splitlines()
    for address in host.addresses:
        length = 128 if ":" in address else 32
        assert f"route add {address}/{length} dev w-{host.name}" in router
        assert any(line.startswith(f"address add {address}/{length} dev eth0") for line in inside)
    routes = [line for line in router if line.startswith("route add ")]
    assert len(routes) == len(host.addresses)


@EVERY_HOST
def test_all_else_goes_by_the_router_from_the_public_address(host: Host) -> None:
    inside = wiring.wire(host).host_batch.splitlines()
    defaults = [line for line in inside if line.startswith("route add default ")]
    assert defaults == [
        f"route add default via 169.254.1.1 dev eth0 src {host.v4[0]}",
        f"route add default via fe80::1 dev eth0 src {host.v6[0]}",
    ]
    # A gateway beyond a /32 can be used only once there is a route to it.
    assert inside.index("route add 169.254.1.1/32 dev eth0 scope link") < inside.index(defaults[0])
    assert "link set lo up" in inside
    assert "link set eth0 up" in inside


def test_every_host_is_told_of_the_labs_dns_by_both_versions() -> None:
    told = wiring.resolvers(SHIPPED).splitlines()
    assert told == [f"nameserver {a}" for a in (SHIPPED.internet.v4, SHIPPED.internet.v6)]


@EVERY_HOST
def test_no_host_is_on_a_link_with_another(host: Host) -> None:
    for line in wiring.wire(host).host_batch.splitlines():
        if line.startswith("address add "):
            assert line.split()[2].partition("/")[2] in ("32", "128")


@EVERY_HOST
def test_no_address_is_late(host: Host) -> None:
    batches = wiring.wire(host).host_batch + wiring.wire(host).router_batch + wiring.router_batch(SHIPPED)
    for line in batches.splitlines():
        if line.startswith("address add ") and ":" in line:
            assert line.endswith(" nodad")


@EVERY_HOST
def test_a_device_name_fits_the_kernel(host: Host) -> None:
    assert wiring.device(host.name) == wiring.wire(host).device == f"w-{host.name}"
    assert len(wiring.device(host.name)) <= 15


def test_a_batch_is_whole_lines() -> None:
    wire = wiring.wire(SOUND.host("node"))
    for batch in (wire.router_batch, wire.host_batch, wiring.router_batch(SOUND), wiring.zone(SOUND)):
        assert batch.endswith("\n")
        assert all(line.strip() for line in batch.splitlines())


def test_the_router_holds_the_gateway_and_the_resolver() -> None:
    lines = wiring.router_batch(SOUND).splitlines()
    assert "address add 169.254.1.1/32 dev lo" in lines
    assert "address add 198.51.100.53/32 dev lo" in lines
    assert "address add 2001:db8:53::53/128 dev lo nodad" in lines


def test_the_zone_has_every_name_and_no_other() -> None:
    assert wiring.zone(SOUND).splitlines() == [
        "host-record=headscale.lab.test,198.51.100.10,2001:db8:10::1",
        "host-record=echo.lab.test,198.51.100.80,2001:db8:80::1",
        "host-record=api.ipify.org,198.51.100.80",
        "host-record=api6.ipify.org,2001:db8:80::1",
    ]


def test_a_name_leads_to_the_public_address() -> None:
    lan = with_host(
        "echo",
        v4=(IPv4Address("203.0.113.5"), IPv4Address("10.0.0.5")),
        v6=(IPv6Address("2001:db8::5"), IPv6Address("fd00::5")),
    )
    zone = wiring.zone(lan)
    assert "echo.lab.test,203.0.113.5,2001:db8::5" in zone
    assert "10.0.0.5" not in zone
    assert "fd00::5" not in zone
