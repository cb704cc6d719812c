"""What look.py prints, read as facts."""

import json

import pytest

from harness.errors import LabError
from harness.lab import listening
from harness.ledger.facts import ContainerPorts, Listener, Moment

ID = "a" * 64
ALLOCATION = "98138e8f-4dae-116f-cff3-e466bc979cb8"
SOCAT = 'socket node udp UNCONN 0 0 0.0.0.0:51154 0.0.0.0:* users:(("socat",pid=7,fd=5))'
NOMAD = 'socket node tcp LISTEN 0 4096 127.0.0.1:4646 0.0.0.0:* users:(("nomad",pid=22,fd=14))'


def described(**changes: object) -> str:
    data: dict[str, object] = {
        "Id": ID,
        "Name": f"/worker-{ALLOCATION}",
        "Config": {"Labels": {"com.hashicorp.nomad.alloc_id": ALLOCATION}},
        "HostConfig": {"NetworkMode": "host", "PortBindings": None, "PublishAllPorts": False},
        "NetworkSettings": {"Ports": {}},
        **changes,
    }
    return f"container {json.dumps(data)}"


def look(*lines: str, looks: int = 1) -> str:
    return "".join(f"{line}\n" for line in (*lines, f"looked {looks}"))


def only(*lines: str) -> Listener:
    (seen,), _ = listening.read(look(*lines), Moment.RUNNING)
    (found,) = seen.listeners
    return found


@pytest.mark.parametrize(
    ("local", "address", "port"),
    [
        ("0.0.0.0:80", "0.0.0.0", 80),  # noqa: S104 - read, not listened on
        ("*:80", "*", 80),
        ("[::]:443", "::", 443),
        ("127.0.0.53%lo:53", "127.0.0.53", 53),
        ("[fe80::1]%eth0:546", "fe80::1", 546),
        ("[::ffff:127.0.0.1]:9", "::ffff:127.0.0.1", 9),
    ],
)
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_an_address_as_ss_writes_it(local: str, address: str, port: int, protocol: str) -> None:
    found = only(f"socket node {protocol}   UNCONN 0      128    {local}     *:*")
    assert found == Listener(protocol, address, port, "")


def test_a_process_in_a_container_is_its_tasks() -> None:
    line = 'socket node tcp LISTEN 0 5 *:8080 *:* users:(("python3",pid=71,fd=5),("sh",pid=70,fd=5))'
    groups = f"process 71 0 4:memory:/docker/{'b' * 64}/docker/{ID} 0::/x"
    found = only(line, groups, f"process 70 0 0::/docker/{ID}", described())
    assert found == Listener("tcp", "*", 8080, "python3, sh", ALLOCATION, "worker")


def test_the_harness_is_known_unless_it_is_in_a_container() -> None:
    assert only(SOCAT, "process 7 1 0::/").control
    assert not only(SOCAT, "process 7 0 0::/").control
    assert not only(SOCAT, f"process 7 1 0::/docker/{ID}", described()).control
    assert not only(SOCAT).control
    both = SOCAT.replace("fd=5)", 'fd=5),("python3",pid=8,fd=3)')
    assert not only(both, "process 7 1 0::/", "process 8 0 0::/").control


def test_a_look_that_repeats_gives_each_change() -> None:
    text = look(NOMAD, looks=3) + look(NOMAD, SOCAT, looks=9) + look(NOMAD)
    looks, _ = listening.read(text, Moment.RUNNING)
    assert [(s.looks, len(s.listeners)) for s in looks] == [(3, 1), (9, 2), (1, 1)]


def test_who_is_gone_at_the_end_is_known_by_another_look() -> None:
    line = 'socket node udp UNCONN 0 0 0.0.0.0:9 *:* users:(("tailscaled",pid=71,fd=5))'
    text = look(line, f"process 71 0 0::/docker/{ID}")
    (seen,), _ = listening.read(text, Moment.RUNNING)
    assert seen.listeners[0].allocation == ""
    (seen,), now = listening.read(text, Moment.RUNNING, look(described()))
    assert seen.listeners[0].task == "worker"
    assert now.containers == ()


def test_a_namespace_of_its_own_is_a_place_even_when_it_is_silent() -> None:
    inside = "socket worker-1 tcp LISTEN 0 5 0.0.0.0:80 0.0.0.0:*"
    looks, _ = listening.read(look(NOMAD, "place worker-1", inside, "place other-1"), Moment.AFTER)
    assert [(s.place, len(s.listeners)) for s in looks] == [("node", 1), ("worker-1", 1), ("other-1", 0)]


def test_a_silent_node_was_looked_at_all_the_same() -> None:
    (seen,), containers = listening.read(look(), Moment.BEFORE)
    assert (seen.place, seen.listeners, seen.moment) == ("node", (), Moment.BEFORE)
    assert containers.containers == ()


def test_what_a_container_publishes() -> None:
    asked = {"80/tcp": [{"HostIp": "", "HostPort": ""}]}
    given = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}], "90/udp": None}  # noqa: S104 - read
    text = look(
        described(
            HostConfig={"NetworkMode": "bridge", "PortBindings": asked, "PublishAllPorts": True},
            NetworkSettings={"Ports": given},
        )
    )
    _, seen = listening.read(text, Moment.RUNNING)
    published = ("*:any to 80/tcp", "0.0.0.0:32768 to 80/tcp")
    assert seen.containers == (
        ContainerPorts(f"worker-{ALLOCATION}", ALLOCATION, "worker", "bridge", published, publishes_all=True),
    )


def test_a_container_beside_nomads_is_seen_too() -> None:
    _, seen = listening.read(look(described(Name="/mine", Config={"Labels": None})), Moment.RUNNING)
    assert seen.containers == (ContainerPorts("mine", "", "", "host"),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        NOMAD,
        look("socket node what is this"),
        look(NOMAD, "container {}"),
        look(NOMAD, "container {"),
        look(NOMAD).replace("looked 1", "looked often"),
    ],
)
def test_what_is_no_whole_look_is_an_error_of_the_lab(text: str) -> None:
    with pytest.raises(LabError, match=r"the node's sockets|the look at"):
        listening.read(text, Moment.RUNNING)
