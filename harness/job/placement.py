"""What keeps a job from being placed on the one node of a lab, told from the job. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.job import source
from harness.job.rendering import Rendered

_DATACENTER, _POOL, _REGION = "dc1", "default", "global"
"""Those of the lab's node: Nomad's own defaults (fixtures/nomad)."""


@dataclass(frozen=True)
class Obstacle:
    """Something that a job asks for and the lab's node does not have."""

    line: int
    what: str
    asked: str = ""
    """The value that would have to be another; empty where no value helps."""
    instead: str = ""
    remedy: str = ""


def obstacles(rendered: Rendered, text: str) -> Iterator[Obstacle]:
    """Everything that keeps a job from being placed.

    Args:
        rendered: the job.
        text: the job file, for the lines.
    """
    job = rendered.job
    centers = [str(c) for c in job.get("Datacenters") or ()]
    if centers and not any(fnmatchcase(_DATACENTER, c) for c in centers):
        line = source.line_of(text, r"\bdatacenters\s*=")
        yield Obstacle(line, f"the datacenter {', '.join(centers)}", ",".join(centers), _DATACENTER)
    for key, called, there in (("NodePool", "node pool", _POOL), ("Region", "region", _REGION)):
        asked = str(job.get(key) or there)
        if asked not in (there, "all"):
            line = source.line_of(text, rf"\b{called.replace(' ', '_')}\s*=")
            yield Obstacle(line, f"the {called} {asked}", asked, there)
    for group in job.get("TaskGroups") or ():
        for network in group.get("Networks") or ():
            mode = str(network.get("Mode") or "host")
            if mode not in ("host", "none"):
                yield Obstacle(
                    source.line_of(text, r'\bmode\s*=\s*"' + mode),
                    f"a network of the mode {mode}, which needs CNI plugins",
                    remedy="let its tasks use the node's network, or none: modules/nomad/sealed.md",
                )
