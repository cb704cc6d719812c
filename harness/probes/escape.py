"""Attempts to go out directly, from where the tasks of a job run and, as the control, from the node itself.

The programs are the node's and run with all its rights; what they have of the task is its network namespace.
"""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from harness.job.example import Example
from harness.job.rendering import Rendered, main_tasks
from harness.lab.lab import Lab
from harness.lab.listening import NODE
from harness.lab.running_host import FILES
from harness.lab.topology import Role
from harness.ledger.episodes import ESCAPE, ESCAPE_CONTROL
from harness.ledger.facts import EpisodeEnded, EscapeTried
from harness.management.nomad import Allocation
from harness.probes import recording, watch
from harness.probes.stage import Stage

MARK = "escape"
"""Begins every token of an attempt from a task; those of the control begin with `control-escape`."""
_CONTROL_MARK = f"control-{MARK}"


def control(stage: Stage, example: Example, pool: ThreadPoolExecutor) -> None:
    """Try from the node itself, and fill the ledger. Raises LabError when an observer is dead."""
    lab = stage.lab
    begun = watch.mark(lab, pool)
    began = time.time()
    own = _try(lab, "$$", _CONTROL_MARK)
    seen, _ = watch.since(lab, begun, pool)
    _write(stage, example, ESCAPE_CONTROL, EscapeTried(NODE, "", *own))
    recording.write(stage.ledger, seen, subject=example.name, episode=ESCAPE_CONTROL)
    _write(stage, example, ESCAPE_CONTROL, EpisodeEnded(began, time.time(), "it was tried from the node"))


def run(
    stage: Stage,
    example: Example,
    rendered: Rendered,
    allocations: Iterable[Allocation],
    pool: ThreadPoolExecutor,
) -> None:
    """Try from every main task of these allocations, and fill the ledger.

    Raises LabError when an observer is dead. Attempts that fail are what is hoped for, and no error.
    """
    lab = stage.lab
    proxy = _proxy_of_sidecars(rendered)
    begun = watch.mark(lab, pool)
    began = time.time()
    tasks = 0
    # A token is the first label of a name as well: it must be short, whatever the task is called.
    for allocation in allocations:
        for task in main_tasks(rendered).get(allocation.group, ()):
            pid = _process(lab, f"{task}-{allocation.id}")
            if pid:
                tried = _try(lab, pid, f"{MARK}-{allocation.id[:8]}-{tasks}", proxy)
                _write(stage, example, ESCAPE, EscapeTried(task, allocation.id, *tried))
                tasks += 1
    seen, _ = watch.since(lab, begun, pool)
    recording.write(stage.ledger, seen, subject=example.name, episode=ESCAPE)
    _write(stage, example, ESCAPE, EpisodeEnded(began, time.time(), f"it was tried from {tasks} tasks"))


def _proxy_of_sidecars(rendered: Rendered) -> str:
    """The proxy by which a sidecar itself goes out, which no worker is meant to use; empty: there is none."""
    tasks = (t for group in rendered.job["TaskGroups"] for t in group["Tasks"])
    found = ((t.get("Env") or {}).get("HTTPS_PROXY") for t in tasks if t["Name"] in rendered.sidecars)
    return next((str(proxy) for proxy in found if proxy), "")


def _try(lab: Lab, pid: str, word: str, proxy: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What was tried and what succeeded, by its tokens."""
    script = f'exec {FILES}/escape.sh "{pid}" "$0"'
    result = lab.node.host.run(
        "sh", "-c", script, word, environment={**_environment(lab), "PROXY": proxy}
    ).expect()
    said = [line.split() for line in result.stdout.splitlines()]
    return tuple(sorted(t for _, t in said)), tuple(sorted(t for how, t in said if how == "succeeded"))


def _environment(lab: Lab) -> Mapping[str, str]:
    echo, internet = lab.topology.only(Role.ECHO), lab.topology.internet
    return {
        **{"NAME": echo.names[0], "V4": str(echo.v4[0]), "V6": str(echo.v6[0])},
        **{s.upper(): str(echo.port(s)) for s in ("http", "https", "tcp", "udp")},
        **{"DNS4": str(internet.v4), "DNS6": str(internet.v6), "ZONE": echo.names[0].partition(".")[2]},
    }


def _process(lab: Lab, container: str) -> str:
    """The first process of a container; empty where it does not run."""
    result = lab.node.host.run("docker", "inspect", "--format", "{{.State.Pid}}", container)
    pid = result.stdout.strip()
    return pid if result.exit_code == 0 and pid != "0" else ""


def _write(stage: Stage, example: Example, episode: str, fact: EscapeTried | EpisodeEnded) -> None:
    stage.ledger.write(fact, observer="harness", subject=example.name, episode=episode)
