"""How each role's container is made: image, command, files. Effects are elsewhere."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.lab import headscale_policy, policy, wiring
from harness.lab.running_host import FILES, File, HostPlan
from harness.lab.topology import ControlProgram, Host, Role, Topology
from harness.run import places

_IPV6_ON = {
    "net.ipv6.conf.all.disable_ipv6": "0",
    "net.ipv6.conf.default.disable_ipv6": "0",
}
_UNPRIVILEGED_PORTS = {"net.ipv4.ip_unprivileged_port_start": "0"}
# A scan learns that a UDP port is closed by ICMP: Linux would tell it of a few only. The masks say which
# types are limited (kernel, networking/ip-sysctl): none for IPv4, the one that nobody sends for IPv6.
_EVERY_ANSWER = {"net.ipv4.icmp_ratemask": "0", "net.ipv6.icmp.ratemask": "0"}

# A Nomad client runs containers: every right but the one that some machines cannot give, instead of
# --privileged, which fails there.
NODE_RIGHTS: Mapping[str, object] = {
    "cap_add": ["ALL"],
    "cap_drop": ["SYS_RESOURCE"],
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    "device_cgroup_rules": ["a *:* rwm"],
}

# Nothing of the lab looks for Tailscale's own servers or for a gateway that maps ports.
_SEALED_TAILSCALED = {
    "TS_NO_LOGS_NO_SUPPORT": "true",
    "TS_DISABLE_PORTMAPPER": "1",
    "TS_PANIC_IF_HIT_MAIN_CONTROL": "1",
}

TAILSCALE_SOCKET = "/run/tailscale/tailscaled.sock"
"""Where the tailscale command looks by itself; the image has the folder."""
LABCONTROL_SOCKET = "/run/labcontrol.sock"
"""Where labcontrol takes orders."""
ECHO_BOOK = "/run/echo/seen.jsonl"
ECHO_LIE = "/run/echo/lie"
NODE_DATA = "/var/lib/docker"
NODE_SEED = "/var/lib/seed"

_IMAGES = {
    Role.ACME: "acme",
    Role.ECHO: "host",
    Role.MEMBER: "member",
    Role.BYSTANDER: "host",
    Role.NODE: "node",
}
_CONTROL_IMAGES = {ControlProgram.HEADSCALE: "control", ControlProgram.LABCONTROL: "second-control"}
_BROWSER_IMAGE = "browser"
ROUTER_IMAGE = "router"


def image_names(topology: Topology) -> tuple[str, ...]:
    """The lab images that a topology needs."""
    return tuple(sorted({ROUTER_IMAGE, *(image_name(topology, h) for h in topology.hosts)}))


def image_name(topology: Topology, host: Host) -> str:
    """The lab image of a host."""
    if host.role is Role.CONTROL:
        return _CONTROL_IMAGES[topology.program]
    return _BROWSER_IMAGE if host.browser else _IMAGES[host.role]


@dataclass(frozen=True)
class Inhabitant:
    """What runs in a host: as its role has it, or given freely."""

    command: tuple[str, ...] = ("sleep", "infinity")
    files: tuple[File, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def _render(folder: Path, template: str, **values: object) -> bytes:
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values).encode()


def _certificate(host: Host, authority: trustme.CA) -> tuple[File, File]:
    names = (*host.all_names, *sorted(host.addresses))
    issued = authority.issue_cert(*names)
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return File("tls.pem", chain), File("tls.key", issued.private_key_pem.bytes(), 0o600)


def _headscale(topology: Topology, host: Host, authority: trustme.CA) -> Inhabitant:
    folder = places.fixtures() / "headscale"
    stun_port = host.port("stun")
    config = _render(
        folder,
        "config.yaml.j2",
        name=host.names[0],
        port=host.port("control"),
        stun_port=stun_port,
        tailnet_domain=topology.tailnet_domain,
    )
    relay_v4, relay_v6 = host.relay
    derp_map = _render(
        folder,
        "derp.yaml.j2",
        name=host.names[0],
        port=host.port("control"),
        stun_port=stun_port,
        v4=host.v4[0],
        v6=host.v6[0],
        relay_v4=relay_v4,
        relay_v6=relay_v6,
    )
    return Inhabitant(
        command=(f"{FILES}/start.sh", host.names[0], str(host.port("plain"))),
        files=(
            *_programs("headscale", "start.sh", "redirect.sh", "key.sh"),
            File("config.yaml", config),
            File("derp.yaml", derp_map),
            _tailnet_policy(topology),
            *_certificate(host, authority),
        ),
    )


def _tailnet_policy(topology: Topology) -> File:
    """Who may reach what: the policy that ships with the examples, unless the topology names another."""
    text = policy.file_of(topology).read_text(encoding="utf-8")
    return File("policy.json", headscale_policy.for_version(text, topology.headscale).encode())


def _policy(path: str, name: str) -> File:
    return File(path, (places.data("acl") / name).read_bytes())


def _labcontrol(topology: Topology, host: Host, authority: trustme.CA) -> Inhabitant:
    policies = (
        _tailnet_policy(topology),
        _policy("services.json", "example-tailscale-services.json"),
    )
    relay_v4, relay_v6 = host.relay
    config = {
        "server_name": host.names[0],
        "tailnet_domain": topology.tailnet_domain,
        "v4": str(host.v4[0]),
        "v6": str(host.v6[0]),
        "relay_v4": str(relay_v4),
        "relay_v6": str(relay_v6),
        "port": host.port("control"),
        "plain_port": host.port("plain"),
        "stun_port": host.port("stun"),
        "dns_port": host.port("dns"),
        "certificate": f"{FILES}/tls.pem",
        "key": f"{FILES}/tls.key",
        "policies": [f"{FILES}/{file.path}" for file in policies],
        "socket": LABCONTROL_SOCKET,
    }
    return Inhabitant(
        command=("labcontrol", "-config", f"{FILES}/config.json"),
        files=(File("config.json", json.dumps(config).encode()), *policies, *_certificate(host, authority)),
    )


def _acme(topology: Topology, host: Host, authority: trustme.CA) -> Inhabitant:
    # The CA's own key stays where it is: an issuer below it is enough to certify Pebble's root.
    issuer = authority.create_child_ca()
    control = topology.only(Role.CONTROL)
    options = {
        "listen": f":{host.port('https')}",
        "resolver": f"{control.v4[0]}:{control.port('dns')}",
        "certificate": f"{FILES}/tls.pem",
        "key": f"{FILES}/tls.key",
        "issuer": f"{FILES}/issuer.pem",
        "issuer-key": f"{FILES}/issuer.key",
    }
    return Inhabitant(
        command=("pebble", *(f"-{name}={value}" for name, value in options.items())),
        files=(
            File("issuer.pem", issuer.cert_pem.bytes()),
            File("issuer.key", issuer.private_key_pem.bytes(), 0o600),
            *_certificate(host, authority),
        ),
    )


def _echo(host: Host, authority: trustme.CA) -> Inhabitant:
    ports = [str(host.port(service)) for service in ("http", "https", "tcp", "udp")]
    arguments = (ECHO_BOOK, ECHO_LIE, *ports, f"{FILES}/tls.pem", f"{FILES}/tls.key")
    return Inhabitant(
        command=("python3", f"{FILES}/echo.py", *arguments),
        files=(*_programs("echo", "echo.py"), *_certificate(host, authority)),
    )


def _member() -> Inhabitant:
    return Inhabitant(
        command=(
            "tailscaled",
            "--tun=userspace-networking",
            "--state=mem:",
            # Where certificates go, of those that serve by HTTPS.
            "--statedir=/var/lib/tailscale",
            f"--socket={TAILSCALE_SOCKET}",
            "--socks5-server=127.0.0.1:1055",
            "--outbound-http-proxy-listen=127.0.0.1:1056",
        ),
        environment=_SEALED_TAILSCALED,
    )


_NODE_PROGRAMS = (
    *("start.sh", "engine.sh", "reboot.sh"),
    *("look.py", "listen.py", "hold.py", "escape.sh", "daemon.sh", "drum.py"),
)
_NODE_SETTINGS = ("agent.hcl", "client.hcl", "server.hcl", "consul.hcl")


def _node(topology: Topology) -> Inhabitant:
    settings = (File(name, (places.fixtures() / "nomad" / name).read_bytes()) for name in _NODE_SETTINGS)
    return Inhabitant(
        command=(f"{FILES}/start.sh",),
        files=(*_programs("nomad", *_NODE_PROGRAMS), *settings),
        environment={"NOTAILCAR_LASTING": "1"} if topology.lasting_agent else {},
    )


def _programs(folder: str, *names: str) -> tuple[File, ...]:
    return tuple(File(name, (places.fixtures() / folder / name).read_bytes(), 0o755) for name in names)


def plan(
    topology: Topology,
    host: Host,
    image: str,
    authority: trustme.CA,
    *,
    router: str,
    volumes: Mapping[str, str],
) -> HostPlan:
    """The plan of one host, in which runs what its role has.

    Args:
        topology: the lab that it is a part of.
        host: the host.
        image: the reference of its image.
        authority: the lab's CA, for hosts that speak TLS.
        router: the id of the router's container, whose pid namespace the hosts share.
        volumes: named volumes by where they are mounted; a Nomad node has some.
    """
    if host.role is Role.CONTROL:
        control = _headscale if topology.program is ControlProgram.HEADSCALE else _labcontrol
        inhabitant = control(topology, host, authority)
    elif host.role is Role.ACME:
        inhabitant = _acme(topology, host, authority)
    elif host.role is Role.ECHO:
        inhabitant = _echo(host, authority)
    elif host.role is Role.MEMBER:
        inhabitant = _member()
    elif host.role is Role.NODE:
        inhabitant = _node(topology)
    else:
        inhabitant = Inhabitant(files=_programs("scan", "scan.py"))
    return inhabited(host, inhabitant, image, router=router, volumes=volumes)


def inhabited(
    host: Host, inhabitant: Inhabitant, image: str, *, router: str, volumes: Mapping[str, str]
) -> HostPlan:
    """The plan of a host in which something runs that is not its role's; the rights are its role's.

    Args:
        host: the host.
        inhabitant: what runs in it.
        image: the reference of its image.
        router: the id of the router's container, whose pid namespace the hosts share.
        volumes: named volumes by where they are mounted.
    """
    rights = NODE_RIGHTS if host.role is Role.NODE else {}
    return HostPlan(
        name=host.name,
        image=image,
        command=inhabitant.command,
        environment=inhabitant.environment,
        files=inhabitant.files,
        volumes=volumes,
        options={
            **wiring.UNWIRED,
            "pid_mode": f"container:{router}",
            "sysctls": {
                **_IPV6_ON,
                **_UNPRIVILEGED_PORTS,
                **(_EVERY_ANSWER if host.role is Role.NODE else {}),
            },
            **rights,
        },
    )
