"""What listens on the node and what its engine publishes: the output of look.py, as facts. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from harness.errors import LabError
from harness.ledger.facts import ContainerPorts, ContainersSeen, Listener, ListenersSeen, Moment

NODE = "node"
"""The place of a listener in the node's own network namespace."""
_ALLOCATION = "com.hashicorp.nomad.alloc_id"
"""The label that Nomad's Docker driver gives to every container (drivers/docker, driver.go)."""
_SOCKET = re.compile(
    r"(?P<protocol>tcp|udp) +\S+ +\d+ +\d+ +(?P<address>\S+):(?P<port>\d+) +\S+(?P<held> .*)?"
)
_HOLDER = re.compile(r'\("(?P<process>[^"]*)",pid=(?P<pid>\d+),')


@dataclass(frozen=True)
class _Holder:
    """A process that holds a socket."""

    ours: bool
    cgroups: str


def read(text: str, moment: Moment, other: str = "") -> tuple[list[ListenersSeen], ContainersSeen]:
    """Read what look.py printed: what listened, by look and place, and the containers at its end.

    Args:
        text: its output.
        moment: when it was.
        other: the output of another look, of which only the containers are taken: a process may belong to one
            that was gone at the end of this look.

    Raises LabError when it did not come to its end, or when a line is no such line.
    """
    containers: dict[str, ContainerPorts] = {}
    now: dict[str, ContainerPorts] = {}
    looks: list[ListenersSeen] = []
    groups = f"\n{text}".split("\nlooked ")
    if len(groups) == 1:
        raise LabError("the look at the node's sockets did not come to its end", log=text[-400:])
    try:
        containers.update(_containers(other))
        # The containers come last, and what listened before is theirs as well.
        now = _containers(text)
        containers.update(now)
        for lines, following in pairwise(groups):
            number = int(following.partition("\n")[0])
            looks += _look(lines, moment, number, containers)
    except (KeyError, TypeError, ValueError) as error:
        raise LabError(f"the node's sockets cannot be read: {error!r}", log=text[-400:]) from error
    return looks, ContainersSeen(moment, tuple(sorted(now.values(), key=lambda c: c.container)))


def _look(
    text: str, moment: Moment, number: int, containers: Mapping[str, ContainerPorts]
) -> Iterator[ListenersSeen]:
    found: dict[str, list[str]] = {NODE: []}
    holders: dict[str, _Holder] = {}
    # Those with a network namespace of their own are places, even when nothing listens there.
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "socket":
            place, _, described = rest.partition(" ")
            found.setdefault(place, []).append(described)
        elif kind == "process":
            pid, ours, *cgroups = rest.split(" ", 2)
            holders[pid] = _Holder(ours == "1", " ".join(cgroups))
        elif kind == "place":
            found.setdefault(rest, [])
    for place, sockets in found.items():
        listeners = tuple(_listener(described, holders, containers) for described in sockets)
        yield ListenersSeen(moment, place, listeners, number)


def _listener(
    line: str, holders: Mapping[str, _Holder], containers: Mapping[str, ContainerPorts]
) -> Listener:
    found = _SOCKET.fullmatch(line.strip())
    if not found:
        raise ValueError(f"{line!r} is no line of ss")
    held = _HOLDER.findall(found["held"] or "")
    known = [holders[pid] for _, pid in held if pid in holders]
    owners = {c.container: c for id_, c in containers.items() if any(id_ in h.cgroups for h in known)}
    owner = next(iter(owners.values()), None)
    return Listener(
        protocol=found["protocol"],
        address=found["address"].partition("%")[0].strip("[]"),
        port=int(found["port"]),
        process=", ".join(sorted({process for process, _ in held})),
        allocation=owner.allocation if owner else "",
        task=owner.task if owner else "",
        # A process of a job could call itself the harness's, but not from outside of its container.
        control=bool(known) and all(h.ours for h in known) and owner is None,
    )


def _containers(text: str) -> dict[str, ContainerPorts]:
    lines = (line.partition(" ") for line in text.splitlines())
    return dict(_container(json.loads(rest)) for kind, _, rest in lines if kind == "container")


def _container(described: Mapping[str, Any]) -> tuple[str, ContainerPorts]:
    name = str(described["Name"]).removeprefix("/")
    allocation = str((described["Config"].get("Labels") or {}).get(_ALLOCATION, ""))
    asked, given = described["HostConfig"], described["NetworkSettings"]
    bindings = [*(asked.get("PortBindings") or {}).items(), *(given.get("Ports") or {}).items()]
    published = {
        f"{end.get('HostIp') or '*'}:{end.get('HostPort') or 'any'} to {port}"
        for port, ends in bindings
        for end in ends or ()
    }
    seen = ContainerPorts(
        container=name,
        allocation=allocation,
        task=name.removesuffix(f"-{allocation}") if allocation else "",
        network=str(asked["NetworkMode"]),
        published=tuple(sorted(published)),
        publishes_all=bool(asked["PublishAllPorts"]),
    )
    return str(described["Id"]), seen
