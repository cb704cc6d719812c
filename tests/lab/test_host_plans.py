"""How each role's container is made."""

import json
from collections.abc import Mapping

import pytest
import trustme
from cryptography import x509

from harness.assembly import default_topology
from harness.lab import host_plans, router, topology_file
from harness.lab.running_host import FILES, File, HostPlan
from harness.lab.topology import ControlProgram, Host, Role, Topology
from harness.run import places
from tests.lab.build import SOUND, with_host

SHIPPED = topology_file.load(default_topology())
AUTHORITY = trustme.CA()
WITH_OURS = topology_file.load(default_topology(), ControlProgram.LABCONTROL)
EVERY_HOST = pytest.mark.parametrize("host", SHIPPED.hosts, ids=lambda h: h.name)


def plan(host: Host, topology: Topology = SHIPPED) -> HostPlan:
    return host_plans.plan(
        topology, host, "image:1", AUTHORITY, router="router-id", volumes={"/var/lib/docker": "data"}
    )


def file(made: HostPlan, path: str) -> File:
    return next(f for f in made.files if f.path == path)


@EVERY_HOST
def test_no_host_has_a_network_but_its_wire(host: Host) -> None:
    made = plan(host)
    assert made.options["network_mode"] == "none"
    assert made.options["network_disabled"] is True
    assert made.options["pid_mode"] == "container:router-id"


@EVERY_HOST
def test_ipv6_is_on(host: Host) -> None:
    sysctls = plan(host).options["sysctls"]
    assert isinstance(sysctls, Mapping)
    assert sysctls["net.ipv6.conf.all.disable_ipv6"] == "0"
    assert sysctls["net.ipv6.conf.default.disable_ipv6"] == "0"


@EVERY_HOST
def test_no_secret_is_in_a_command_or_an_environment(host: Host) -> None:
    made = plan(host)
    said = " ".join((*made.command, *made.environment, *made.environment.values()))
    for word in ("PRIVATE KEY", "tskey", "hskey", "password"):
        assert word.lower() not in said.lower()
    assert not any("KEY" in name.upper() for name in made.environment)


@EVERY_HOST
def test_a_private_key_can_be_read_by_its_owner_alone(host: Host) -> None:
    for each in plan(host).files:
        if b"PRIVATE KEY" in each.content:
            assert each.mode == 0o600
            assert each.path == "tls.key"


@EVERY_HOST
def test_only_the_node_has_rights(host: Host) -> None:
    given = {"cap_add", "privileged", "devices", "security_opt"} & set(plan(host).options)
    assert bool(given) == (host.role is Role.NODE)
    assert "privileged" not in given


@EVERY_HOST
def test_what_a_command_names_is_there(host: Host) -> None:
    made = plan(host)
    paths = {f"{FILES}/{f.path}" for f in made.files}
    for argument in made.command:
        if argument.startswith(f"{FILES}/"):
            assert argument in paths


@pytest.mark.parametrize("name", ["control", "echo"])
def test_a_certificate_is_for_every_name_and_address(name: str) -> None:
    host = SHIPPED.host(name)
    certificate = x509.load_pem_x509_certificate(file(plan(host), "tls.pem").content)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == set(host.all_names)
    assert set(map(str, names.get_values_for_type(x509.IPAddress))) == host.addresses


def test_headscales_configuration_follows_the_topology() -> None:
    config = file(plan(SHIPPED.host("control")), "config.yaml").content.decode()
    for line in (
        "server_url: https://headscale.lab.test",
        'listen_addr: "[::]:443"',
        "  base_domain: tailnet.test",
        '    stun_listen_addr: "[::]:3478"',
        "  urls: []",
        f"  path: {FILES}/policy.json",
    ):
        assert line in config.splitlines()
    assert "{{" not in config


def test_the_relay_has_the_last_address_of_the_control_server_and_answers_no_stun() -> None:
    derp_map = file(plan(SHIPPED.host("control")), "derp.yaml").content.decode()
    stun, relay = derp_map.split("- name: relay")
    for line in ("ipv4: 198.51.100.10", "ipv6: 2001:db8:10::10", "stunonly: true", "stunport: 3478"):
        assert line in stun
    for line in ("ipv4: 198.51.100.12", "ipv6: 2001:db8:10::12", "derpport: 443", "stunport: -1"):
        assert line in relay
    assert "{{" not in derp_map
    # With fewer, tailscaled asks Tailscale's own servers whether it sits behind a log-in page.
    assert stun.count("canport80: true") == stun.count("stunonly: true") == 5


def test_the_policy_is_the_examples_own() -> None:
    shipped = (places.data("acl") / "example-tailscale-acl.json").read_bytes()
    assert file(plan(SHIPPED.host("control")), "policy.json").content == shipped


def test_our_control_server_is_configured_by_the_topology_and_has_the_policy_for_services_too() -> None:
    made = plan(WITH_OURS.host("control"), WITH_OURS)
    assert made.command == ("labcontrol", "-config", f"{FILES}/config.json")
    config = json.loads(file(made, "config.json").content)
    assert config["server_name"] == "headscale.lab.test"
    assert config["tailnet_domain"] == "tailnet.test"
    assert (config["v4"], config["v6"]) == ("198.51.100.10", "2001:db8:10::10")
    assert (config["relay_v4"], config["relay_v6"]) == ("198.51.100.12", "2001:db8:10::12")
    assert (config["port"], config["plain_port"]) == (443, 80)
    assert (config["stun_port"], config["dns_port"]) == (3478, 53)
    named = {f"{FILES}/{f.path}": f.content for f in made.files}
    for path in (config["certificate"], config["key"], *config["policies"]):
        assert path in named
    for path, name in zip(
        config["policies"], ("example-tailscale-acl.json", "example-tailscale-services.json"), strict=True
    ):
        assert named[path] == (places.data("acl") / name).read_bytes()


def test_the_acme_server_has_an_issuer_of_its_own_and_never_the_cas_key() -> None:
    made = plan(WITH_OURS.host("acme"), WITH_OURS)
    keys = [f for f in made.files if b"PRIVATE KEY" in f.content]
    assert {f.path for f in keys} == {"tls.key", "issuer.key"}
    assert {f.mode for f in keys} == {0o600}
    assert AUTHORITY.private_key_pem.bytes() not in {f.content for f in keys}
    issuer = x509.load_pem_x509_certificate(file(made, "issuer.pem").content)
    issuer.verify_directly_issued_by(x509.load_pem_x509_certificate(AUTHORITY.cert_pem.bytes()))
    assert "-resolver=198.51.100.10:53" in made.command
    for option in made.command[1:]:
        value = option.partition("=")[2]
        assert not value.startswith(FILES) or value in {f"{FILES}/{f.path}" for f in made.files}


def test_the_echo_service_listens_where_the_topology_says() -> None:
    made = plan(SHIPPED.host("echo"))
    assert made.command[2:] == (
        *(host_plans.ECHO_BOOK, host_plans.ECHO_LIE),
        *("80", "443", "7", "7"),
        *(f"{FILES}/tls.pem", f"{FILES}/tls.key"),
    )


def test_images_are_those_of_the_roles_and_the_router() -> None:
    assert host_plans.image_names(SHIPPED) == ("control", "host", "member", "node", "router")
    ours = ("acme", "browser", "host", "member", "node", "router", "second-control")
    assert host_plans.image_names(WITH_OURS) == ours
    assert host_plans.image_name(SHIPPED, SHIPPED.host("outsider")) == "host"


def test_the_routers_plan_has_every_wire() -> None:
    made = router.plan(SHIPPED, "image:1")
    paths = {f.path for f in made.files}
    for host in SHIPPED.hosts:
        assert {f"wires/{host.name}.router", f"wires/{host.name}.host"} <= paths
    assert made.options["network_mode"] == "none"
    assert made.options["network_disabled"] is True
    assert file(made, "etc/resolv.conf").content == b"nameserver 198.51.100.53\nnameserver 2001:db8:53::53\n"
    assert b"127.0.0.1\tlocalhost\n" in file(made, "etc/hosts").content
    sysctls = made.options["sysctls"]
    assert isinstance(sysctls, Mapping)
    assert sysctls["net.ipv4.ip_forward"] == sysctls["net.ipv6.conf.all.forwarding"] == "1"
    assert "privileged" not in made.options


def test_a_bystander_waits_and_can_scan() -> None:
    outsider = with_host("outsider").host("outsider")
    made = host_plans.plan(SOUND, outsider, "image:1", AUTHORITY, router="r", volumes={})
    assert (made.command, made.environment) == (("sleep", "infinity"), {})
    assert [f.path for f in made.files] == ["scan.py"]
