"""The snippet of modules/nomad: its pieces as text, and what of a job must be as it is there, as data."""

import re
from pathlib import Path

from tests.modules.job import Job, flat
from tests.toolkit.programs import REPOSITORY

FILE = Path("modules/nomad/egress-sidecar.nomad.hcl")
TASKS = ("tailscale", "gate", "egress-guard")
_PIECE = re.compile(r"^ *# paste (\d)[^\n]*\n(.*?)^ *# end \1$", re.MULTILINE | re.DOTALL)


def pieces_of(file: Path) -> dict[str, str]:
    """Give the text of each piece of a snippet by its number."""
    return dict(_PIECE.findall((REPOSITORY / file).read_text(encoding="utf-8")))


def variables_of(file: Path) -> set[str]:
    """Give the names of the variables that a job has from a snippet."""
    return set(re.findall(r'^variable "(\w+)"', pieces_of(file)["1"], re.MULTILINE))


def pieces() -> dict[str, str]:
    """Give the text of each piece by its number."""
    return pieces_of(FILE)


def variables() -> set[str]:
    """Give the names of the variables that a job has from the snippet."""
    return variables_of(FILE)


def proxies() -> list[str]:
    """Give the names of the environment variables that lead a task to its proxies."""
    return re.findall(r"^ *(\w+) +=", pieces()["4"], re.MULTILINE)


def parts(job: Job) -> list[dict[str, object]]:
    """Give all that a job has from the snippet, one value a path, once for each task that goes out.

    Paths begin with the name of one of the three tasks, with `ports`, with `service`, or with `worker`.
    """
    found = []
    for group in job["TaskGroups"]:
        tasks = {task["Name"]: task for task in group["Tasks"]}
        networks = group["Networks"] or []
        shared: dict[str, object] = {
            "ports": sorted(port["Label"] for network in networks for port in network["DynamicPorts"] or [])
        }
        for service in group["Services"] or []:
            # Its name is each job's own.
            shared.update(flat({**service, "Name": ""}, "service"))
        for name in tasks.keys() & set(TASKS):
            shared.update(flat(tasks[name], name))
        for worker in (task for name, task in tasks.items() if name not in TASKS and not task["Lifecycle"]):
            environment = worker["Env"] or {}
            own = {f"worker.Env.{name}": environment.get(name) for name in proxies()}
            network_mode = worker["Config"].get("network_mode")
            found.append({**shared, **own, "worker.Config.network_mode": network_mode})
    return found


def differences(job: Job, snippet: Job) -> dict[str, tuple[object, object]]:
    """Give what differs: path to the value in the job and that in the snippet, None where there is none."""
    (there,) = parts(snippet)
    return {
        path: (here.get(path), there.get(path))
        for here in parts(job)
        for path in sorted(here.keys() | there.keys())
        if here.get(path) != there.get(path)
    }
