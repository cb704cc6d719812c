"""What of a job must be as it is in the snippet for jobs that serve, as data."""

import re
from pathlib import Path

from tests.modules.job import Job, flat

FILE = Path("modules/nomad/serve-sidecar.nomad.hcl")
TASKS = ("tailscale", "health", "serve")
OWN = {"health": "BACKENDS", "serve": "SERVE"}
"""What each job fills in for itself: which programs it serves, and where."""
_PORT = re.compile(r"NOMAD_PORT_(\w+)")
_SOCKET = re.compile(r"/data/([\w.-]+\.sock)")


def parts(job: Job) -> list[dict[str, object]]:
    """Give all that a job has from the snippet, one value a path, once for each backend.

    Paths begin with the name of one of the three tasks, with `update`, `service`, or `backend`.
    """
    found = []
    for group in job["TaskGroups"]:
        tasks = {task["Name"]: task for task in group["Tasks"]}
        shared = flat(group["Update"], "update")
        for service in group["Services"] or []:
            shared.update(flat({**service, "Name": ""}, "service"))
        for name in tasks.keys() & set(TASKS):
            shared.update(flat(_comparable(tasks[name]), name))
        for backend in (task for name, task in tasks.items() if name not in TASKS and not task["Lifecycle"]):
            own = {
                key: backend["Config"].get(key) for key in ("network_mode", "ports", "privileged", "cap_add")
            }
            found.append({**shared, **flat(own, "backend.Config"), "backend.User": backend["User"]})
    return found


def _comparable(task: Job) -> Job:
    """A task without what is its own, its files by their names instead of their places."""
    files = {Path(template["DestPath"]).name: template for template in task["Templates"] or []}
    environment = {key: value for key, value in (task["Env"] or {}).items() if key != OWN.get(task["Name"])}
    return {**task, "Templates": files, "Env": environment}


def differences(job: Job, snippet: Job) -> dict[str, tuple[object, object]]:
    """Give what differs: path to the value in the job and that in the snippet, None where there is none."""
    (there,) = parts(snippet)
    return {
        path: (here.get(path), there.get(path))
        for here in parts(job)
        for path in sorted(here.keys() | there.keys())
        if here.get(path) != there.get(path)
    }


def backends(job: Job) -> dict[str, set[str]]:
    """Give the backends that a job has, those that its Serve leads to, and those that are looked after.

    A backend is named by the label of its port, or by the file of its socket.
    """
    (group,) = job["TaskGroups"]
    tasks = {task["Name"]: task for task in group["Tasks"]}
    told = {name: "".join(map(str, (tasks[name]["Env"] or {}).values())) for name in OWN}
    # A Services configuration is a file of the task.
    told["serve"] += "".join(
        t["EmbeddedTmpl"] for t in tasks["serve"]["Templates"] if "svc:" in t["EmbeddedTmpl"]
    )
    labels = {port["Label"] for network in group["Networks"] for port in network["DynamicPorts"] or []}
    apps = [str(value) for n, t in tasks.items() if n not in OWN for value in (t["Env"] or {}).values()]
    return {
        "group": labels - {"health"} | {file for value in apps for file in _SOCKET.findall(value)},
        **{
            what: {*_PORT.findall(told[name]), *_SOCKET.findall(told[name])}
            for what, name in (("served", "serve"), ("looked after", "health"))
        },
    }
