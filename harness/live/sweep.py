"""Removes what dead runs left on a cluster and in its tailnet: found by the marks that all of it has."""

import time
from collections.abc import Callable

from harness.errors import LabError
from harness.live import naming
from harness.live.naming import Mark
from harness.live.rights import JOBS, VARIABLES
from harness.live.tailnet import Tailnet
from harness.management.nomad import NomadClient
from harness.run.run import is_alive


def is_dead(mark: Mark, *, here: str, now: float, alive: Callable[[str], bool]) -> bool:
    """Whether a run needs nothing of its own any more. Pure.

    Args:
        mark: whose something is.
        here: this machine's name, whose locks tell of its own runs.
        now: Unix seconds.
        alive: whether a run of this machine holds its lock.
    """
    if mark.host == here:
        return not alive(mark.run)
    return now > mark.until


def sweep(nomad: NomadClient, tailnet: Tailnet, namespace: str) -> list[str]:
    """Remove what dead runs left, and say what. Raises LabError when it cannot."""
    here, now = naming.machine(), time.time()
    gone: list[str] = []
    for job, meta in sorted(nomad.job_metas(namespace, JOBS).items()):
        mark = naming.mark_of(meta)
        if mark and is_dead(mark, here=here, now=now, alive=is_alive):
            nomad.stop(job, namespace, purge=True)
            gone.append(f"job {job}")
    for path in nomad.variables(VARIABLES, namespace):
        items = nomad.read_variable(path, namespace)
        mark = naming.mark_of(items)
        if mark is None or not is_dead(mark, here=here, now=now, alive=is_alive):
            continue
        if key := items.get(naming.KEY_ITEM):
            tailnet.revoke(key)
            gone.append("auth key")
        if name := items.get(naming.NODE_ITEM):
            for node in tailnet.nodes():
                if node.name.startswith(name):
                    tailnet.delete(node.id)
                    gone.append(f"tailnet node {node.name}")
        # Last, as it is what tells of the others.
        nomad.delete_variable(path, namespace)
        gone.append(f"Variable {path}")
    return gone


def swept(nomad: NomadClient, tailnet: Tailnet, namespace: str) -> str:
    """The same, in one line; what cannot be removed is said, and keeps no run from beginning."""
    try:
        gone = sweep(nomad, tailnet, namespace)
    except LabError as error:
        return f"what dead runs left could not be removed: {error.problem}"
    return f"removed what dead runs left: {', '.join(gone)}" if gone else ""
