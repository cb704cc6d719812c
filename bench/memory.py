"""The memory of one idle lab: what its containers hold, counted as `docker stats` does."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker import DockerClient
from rich.console import Console

from harness.assembly import default_topology, ready_lab
from harness.report.progress import Progress
from harness.run.run import RUN_LABEL, Run

_SETTLED_SECONDS = 10.0
"""How long the lab is left alone before it is looked at: idle, not just born."""


@dataclass(frozen=True)
class Memory:
    """Memory in MB (10^6 bytes), by host.

    Attributes:
        used: what Docker accounts to each host, without the file cache that may go at any time.
        anonymous: of that, what is no file.
    """

    used: Mapping[str, float]
    anonymous: Mapping[str, float]


def of_idle_lab() -> Memory:
    """Bring up a lab, leave it alone, look at it, remove it. Raises LabError."""
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        Run() as run,
        ready_lab(default_topology(), run, Progress(Console(file=nowhere))) as ready,
    ):
        time.sleep(_SETTLED_SECONDS)
        client = DockerClient(base_url=ready.url)
        try:
            containers = client.containers.list(filters={"label": f"{RUN_LABEL}={run.id}"})
            looked = {c.labels["notailcar.host"]: _stats(client, str(c.id)) for c in containers}
        finally:
            client.close()
    stats = {host: of["memory_stats"] for host, of in looked.items()}
    return Memory(
        {host: _used(of) / 1e6 for host, of in stats.items()},
        {host: _anonymous(of["stats"]) / 1e6 for host, of in stats.items()},
    )


def _stats(client: DockerClient, container: str) -> dict[str, Any]:
    # docker-py's types do not tell the stream from the single look.
    looked: dict[str, Any] = client.api.stats(container, stream=False)
    return looked


def _used(memory: Mapping[str, Any]) -> int:
    # Control groups version 1 and version 2 name it differently.
    details: Mapping[str, int] = memory["stats"]
    return int(memory["usage"]) - details.get("total_inactive_file", details.get("inactive_file", 0))


def _anonymous(details: Mapping[str, int]) -> int:
    return details.get("total_rss", details.get("anon", 0))
