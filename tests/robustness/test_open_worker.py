"""A worker that opens a port is refuted, whichever way it does; so is one that promises to be confined."""

from dataclasses import dataclass
from typing import Any

import pytest

from harness.assembly import default_topology
from harness.lab import topology_file
from harness.lab.topology import Role
from tests.robustness.commands import Command
from tests.robustness.copies import Edit, copy
from tests.robustness.proof import claims

pytestmark = pytest.mark.lab

PORTS, CONFINED = "ports.none_public", "egress.confined"
LAN = str(topology_file.load(default_topology()).only(Role.NODE).v4[1])
_BEGIN = "    answers: list[Answer] = []\n"


def listening(*statements: str) -> Edit:
    """The worker opens a socket before its first request, and keeps it."""
    lines = ("import socket", *statements)
    return Edit("worker.py", _BEGIN, "".join(f"    {line}\n" for line in lines) + _BEGIN)


@dataclass(frozen=True)
class Door:
    """What a worker opens, and how the reason names it."""

    edit: Edit
    said: str
    from_outside: str = ""
    """What the scan must have found of it."""


DOORS = {
    "everywhere": Door(
        listening('door = socket.create_server(("", 4444))'), "worker on tcp 0.0.0.0:4444", "answers on 4444"
    ),
    "by-ipv6": Door(
        listening('door = socket.create_server(("::", 4445), family=socket.AF_INET6)'),
        "worker on tcp [::]:4445",
        "answers on 4445",
    ),
    "on-the-lan": Door(
        listening(f'door = socket.create_server(("{LAN}", 4446))'), f"worker on tcp {LAN}:4446"
    ),
    "by-udp": Door(
        listening("door = socket.socket(type=socket.SOCK_DGRAM)", 'door.bind(("", 4447))'),
        "worker on udp 0.0.0.0:4447",
    ),
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """One run over all of them, beside one that only promises more than it keeps."""
    root = tmp_path_factory.mktemp("doors")
    for name, door in DOORS.items():
        copy(root, name, door.edit)
    copy(root, "unsealed", Edit("smoke.toml", "[egress]\n", "[egress]\nconfined = true\n"))
    argv = ("pytest", "scenarios", "-p", "no:cacheprovider", "-k", "ports_none or confined")
    with Command(root / "run", [*argv, "--examples", str(root / "examples")]) as run:
        run.wait(240)
        return run


def test_the_run_fails(judged: Command) -> None:
    assert judged.exit_code == 1, judged.output
    assert set(claims(judged)) == {(name, PORTS) for name in (*DOORS, "unsealed")} | {("unsealed", CONFINED)}


@pytest.mark.parametrize("name", DOORS)
def test_an_open_port_is_refuted_and_named(judged: Command, name: str) -> None:
    entry, door = claims(judged)[name, PORTS], DOORS[name]
    assert entry["verdict"] == "refuted", entry["reason"]
    assert door.said in entry["reason"]
    assert ("answers on" in entry["reason"]) is bool(door.from_outside)
    assert door.from_outside in entry["reason"]


def test_who_opens_nothing_is_proven_beside_them(judged: Command) -> None:
    entry = claims(judged)["unsealed", PORTS]
    assert entry["verdict"] == "proven", entry["reason"]


def test_who_is_not_confined_is_refuted_by_every_way_out(judged: Command) -> None:
    entry = claims(judged)["unsealed", CONFINED]
    assert entry["verdict"] == "refuted", entry["reason"]
    assert "20 attempts got out" in entry["reason"]
    facts: list[dict[str, Any]] = [e["fact"] for e in entry["evidence"] if e["role"] == "evidence"]
    tokens = {f["token"] for f in facts if f["kind"] == "RequestSeen"}
    assert {t.split("-", 3)[3] for t in tokens} == {
        f"{way}-{family}{bound}"
        for way in ("http", "https", "tcp", "udp")
        for family in "46"
        for bound in ("", "-uplink")
    }
    assert sum(f["kind"] == "NameAsked" for f in facts) == 4
    assert any(f["kind"] == "FlowSeen" for f in facts)


def test_no_other_example_is_asked_for_what_it_does_not_promise(judged: Command) -> None:
    assert not any(name in DOORS for name, claim in claims(judged) if claim == CONFINED)
