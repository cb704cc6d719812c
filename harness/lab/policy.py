"""The tailnet's policy of a lab: which file it is, and the tags that it knows."""

import re
from pathlib import Path

from harness.lab.topology import Topology
from harness.run import places

_OWNERS = re.compile(r'"tagOwners"\s*:\s*\{(.*?)\}', re.DOTALL)
_TAG = re.compile(r'^\s*"(tag:[^"]+)"', re.MULTILINE)


def file_of(topology: Topology) -> Path:
    """The policy that ships with the examples, unless the topology names another."""
    return Path(topology.policy) if topology.policy else places.data("acl") / "example-tailscale-acl.json"


def tags(file: Path) -> tuple[str, ...]:
    """The tags that a policy (HuJSON) gives to keys."""
    owners = _OWNERS.search(file.read_text(encoding="utf-8"))
    return tuple(_TAG.findall(owners[1])) if owners else ()
