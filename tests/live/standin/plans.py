"""How the hosts of the cluster are made: what runs in them, with which settings."""

import json
from collections.abc import Mapping
from pathlib import Path

from harness.lab.host_plans import Inhabitant
from harness.lab.running_host import FILES, File
from harness.run import places
from tests.live.standin.authority import ClusterAuthority
from tests.live.standin.hosts import CONSUL, SERVERS, address

_FOLDER = Path(__file__).parent / "files"
HTTP_PORT = 4646
RPC_PORT = 4647
CONSUL_PORT = 8500


def nomad_server(name: str, authority: ClusterAuthority) -> Inhabitant:
    """One of the three Nomad servers."""
    joined = [address(server) for server in SERVERS if server != name]
    own = {
        "name": name,
        "advertise": _advertised(name),
        "server": {"encrypt": authority.gossip, "server_join": {"retry_join": joined}},
    }
    settings = ("nomad.hcl", "server.hcl", "own.json")
    return Inhabitant(
        command=("nomad", "agent", *(f"-config={FILES}/{file}" for file in settings)),
        files=(*_files("nomad.hcl", "server.hcl"), _json("own.json", own), *authority.files("server")),
    )


def nomad_client(name: str, authority: ClusterAuthority) -> Inhabitant:
    """A Nomad client with a Docker engine of its own, and a Consul agent beside it."""
    own = {
        "name": name,
        "advertise": _advertised(name),
        "client": {"servers": [address(server) for server in SERVERS]},
    }
    consul = {"bind_addr": address(name), "retry_join": [address(CONSUL)], "retry_interval": "200ms"}
    engine = (places.fixtures() / "nomad" / "engine.sh").read_bytes()
    return Inhabitant(
        command=(f"{FILES}/client.sh", address(SERVERS[0])),
        files=(
            *_files("nomad.hcl", "client.hcl", "client.sh", "consul.hcl"),
            File("engine.sh", engine),
            _json("own.json", own),
            _json("own-consul.json", consul),
            *authority.files("client"),
        ),
    )


def consul_server() -> Inhabitant:
    """The server whose catalogue the clients' agents write to."""
    own = {"server": True, "bootstrap_expect": 1, "bind_addr": address(CONSUL), "client_addr": "0.0.0.0"}  # noqa: S104 - everybody on the lab's internet may ask it
    settings = ("consul.hcl", "own-consul.json")
    return Inhabitant(
        command=("consul", "agent", *(f"-config-file={FILES}/{file}" for file in settings)),
        files=(*_files("consul.hcl"), _json("own-consul.json", own)),
    )


def _advertised(name: str) -> dict[str, str]:
    return dict.fromkeys(("http", "rpc", "serf"), address(name))


def _files(*names: str) -> tuple[File, ...]:
    return tuple(
        File(name, (_FOLDER / name).read_bytes(), 0o755 if name.endswith(".sh") else 0o644) for name in names
    )


def _json(path: str, settings: Mapping[str, object]) -> File:
    return File(path, json.dumps(settings, indent=2).encode(), 0o600)
