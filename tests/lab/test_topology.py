"""What is wrong with a topology is said before anything runs, by key."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.assembly import default_topology
from harness.lab import topology_file
from harness.lab.topology import ControlProgram, Host, Internet, Listen, Membership, Role, Topology, validate
from tests.lab.build import SOUND, host, listens, more, with_host, without


def test_the_small_topology_is_sound() -> None:
    assert validate(SOUND) == []


def test_the_shipped_topology_is_sound() -> None:
    shipped = topology_file.load(default_topology())
    assert validate(shipped) == []
    assert {h.name for h in shipped.exits} == {"exit-a", "exit-b"}
    assert shipped.users == ("guest@example.com", "platform@example.com")
    assert shipped.only(Role.CONTROL).port("stun") == 3478


def test_the_control_program_decides_whether_there_is_an_acme_server() -> None:
    with_headscale = topology_file.load(default_topology())
    with_ours = topology_file.load(default_topology(), ControlProgram.LABCONTROL)
    assert with_headscale.program is ControlProgram.HEADSCALE
    assert with_headscale.with_role(Role.ACME) == ()
    assert with_ours.only(Role.ACME).names == ("acme-v02.api.letsencrypt.org",)
    assert [h.name for h in with_ours.hosts if h.browser] == ["client"]
    others = [replace(h, browser=False) for h in with_ours.hosts if h.role is not Role.ACME]
    assert others == list(with_headscale.hosts)
    assert validate(with_ours) == []
    assert with_ours.run_by(ControlProgram.HEADSCALE) == with_headscale


BAD: list[tuple[str, Topology, str, str]] = [
    ("name twice", more(host("echo", Role.BYSTANDER, 111)), "host.echo", "used 2 times"),
    ("name of the router", more(host("internet", Role.BYSTANDER, 111)), "host.internet", "used 2 times"),
    (
        "address twice in one host",
        with_host("node", v4=(IPv4Address("203.0.113.1"), IPv4Address("203.0.113.1"))),
        "host.node",
        "203.0.113.1 is used twice",
    ),
    (
        "the router's address",
        with_host("node", v6=(IPv6Address("2001:db8:53::53"),)),
        "host.node",
        "2001:db8:53::53 is used twice",
    ),
    (
        "port twice",
        with_host("outsider", listens=listens("a:80/tcp", "b:80/tcp")),
        "host.outsider.listens",
        "the port 80/tcp",
    ),
    ("DNS name twice", with_host("outsider", names_v4=("echo.lab.test",)), "host.names", "echo.lab.test"),
    ("upper case", with_host("outsider", name="Outsider"), "host.Outsider", "lower-case"),
    ("a space", with_host("outsider", name="out sider"), "host.out sider", "lower-case"),
    ("not ASCII", with_host("outsider", name="äußerer"), "host.äußerer", "lower-case"),
    ("no name", with_host("outsider", name=""), "host.", "lower-case"),
    (
        "name too long for a device",
        with_host("outsider", name="fourteenletter"),
        "host.fourteenletter",
        "at most 13 characters",
    ),
    ("no IPv4", with_host("outsider", v4=()), "host.outsider", "an IPv4 and an IPv6"),
    ("no IPv6", with_host("outsider", v6=()), "host.outsider", "an IPv4 and an IPv6"),
    ("no control", without("control"), "host.role", "the role control; here: none"),
    ("no echo", without("echo"), "host.role", "the role echo; here: none"),
    ("no node", without("node"), "host.role", "the role node; here: none"),
    ("two nodes", more(host("node-2", Role.NODE, 111)), "host.role", "here: node, node-2"),
    (
        "control without STUN",
        with_host("control", listens=listens("control:443/tcp", "plain:80/tcp")),
        "host.control.listens",
        "listens for stun",
    ),
    ("echo without services", with_host("echo", listens=()), "host.echo.listens", "listens for http"),
    (
        "an ACME server, and nobody to ask for challenges",
        more(host("acme", Role.ACME, 111, names=("acme.test",), listens=listens("https:443/tcp"))),
        "host.control.listens",
        "listens for dns",
    ),
    (
        "two ACME servers",
        more(host("one", Role.ACME, 111), host("two", Role.ACME, 112)),
        "host.role",
        "at most one host has the role acme; here: one, two",
    ),
    (
        "a browser outside of the tailnet",
        with_host("outsider", browser=True),
        "host.outsider.browser",
        "only a member",
    ),
    ("control without a name", with_host("control", names=()), "host.control.names", "has a DNS name"),
    ("member without membership", with_host("client", tailnet=None), "host.client.tailnet", "role member"),
    (
        "bystander with membership",
        with_host("outsider", tailnet=Membership(user="x@example.com")),
        "host.outsider.tailnet",
        "and no other",
    ),
    (
        "tags and a user",
        with_host("client", tailnet=Membership(tags=("tag:a",), user="x@example.com")),
        "host.client.tailnet",
        "either tags or a user",
    ),
    ("neither", with_host("client", tailnet=Membership()), "host.client.tailnet", "either tags or a user"),
    (
        "a tag without its prefix",
        with_host("exit-a", tailnet=Membership(tags=("exit",), exit_node=True)),
        "host.exit-a.tailnet",
        "'exit' is not a tag",
    ),
    (
        "domain over the control server",
        replace(SOUND, tailnet_domain="lab.test"),
        "tailnet_domain",
        "headscale.lab.test",
    ),
    (
        "domain of the control server",
        replace(SOUND, tailnet_domain="headscale.lab.test"),
        "tailnet_domain",
        "headscale.lab.test",
    ),
    (
        "no exit",
        with_host("exit-a", tailnet=Membership(tags=("tag:exit",))),
        "host.tailnet.exit_node",
        "no host is an exit node",
    ),
]


@pytest.mark.parametrize(
    ("topology", "key", "said"), [bad[1:] for bad in BAD], ids=[bad[0].replace(" ", "-") for bad in BAD]
)
def test_refused(topology: Topology, key: str, said: str) -> None:
    problems = validate(topology)
    assert [p for p in problems if p.where == key and said in p.what], problems


def test_a_domain_beside_the_control_server_is_fine() -> None:
    assert validate(replace(SOUND, tailnet_domain="adscale.lab.test")) == []
    assert validate(replace(SOUND, tailnet_domain="x.headscale.lab.test")) == []


def test_one_port_of_two_protocols_is_two() -> None:
    assert validate(with_host("outsider", listens=listens("a:53/tcp", "b:53/udp"))) == []


def test_every_problem_is_told_at_once() -> None:
    both = replace(with_host("outsider", name="Out"), tailnet_domain="lab.test")
    assert {p.where for p in validate(both)} == {"host.Out", "tailnet_domain"}


HOST_NUMBERS = st.permutations(range(len(SOUND.hosts))).map(lambda order: order[:2])


@given(pair=HOST_NUMBERS, family=st.sampled_from(["v4", "v6"]))
def test_two_hosts_with_one_address_are_always_refused(pair: list[int], family: str) -> None:
    first, second = (SOUND.hosts[i] for i in pair)
    taken = getattr(first, family)
    spoiled = with_host(second.name, **{family: (*getattr(second, family), *taken)})
    problems = validate(spoiled)
    assert any(str(taken[0]) in p.what and first.name in p.what and second.name in p.what for p in problems)


def distinct(number: int) -> tuple[IPv4Address, IPv6Address]:
    return IPv4Address("203.0.113.0") + number, IPv6Address("2001:db8:ffff::") + number


NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,11}[a-z0-9])?", fullmatch=True)


@given(names=st.lists(NAMES, unique=True, max_size=8))
def test_bystanders_with_names_and_addresses_of_their_own_are_always_welcome(names: list[str]) -> None:
    taken = {h.name for h in SOUND.hosts} | {SOUND.internet.name}
    added = []
    for number, name in enumerate(n for n in names if n not in taken):
        v4, v6 = distinct(number)
        added.append(Host(name, Role.BYSTANDER, (v4,), (v6,)))
    assert validate(more(*added)) == []


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("http:80/tcp", Listen("http", 80, "tcp")),
        ("stun:3478/udp", Listen("stun", 3478, "udp")),
        ("a:65535/tcp", Listen("a", 65535, "tcp")),
    ],
)
def test_listens_are_read(text: str, read: Listen) -> None:
    assert Listen.parse(text) == read


@pytest.mark.parametrize(
    "text",
    [
        *("", "80", "80/tcp", ":80/tcp", "a:80", "a:80/", "a:80/sctp", "a:80/TCP", "a:80/tcp/udp"),
        *("a:0/tcp", "a:65536/tcp", "a:-1/tcp", "a:x/tcp", "a:8.0/tcp"),
    ],
)
def test_listens_that_are_none_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not of the form") as caught:
        Listen.parse(text)
    assert repr(text) in str(caught.value)


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match=r"no host moon.*control, echo"):
        SOUND.host("moon")
    with pytest.raises(KeyError, match="echo has no service smtp"):
        SOUND.host("echo").port("smtp")


def test_an_internet_has_a_name_of_its_own() -> None:
    renamed = replace(SOUND, internet=Internet(SOUND.internet.v4, SOUND.internet.v6, name="client"))
    assert any(p.where == "host.client" for p in validate(renamed))
