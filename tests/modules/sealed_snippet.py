"""What of a job must be as it is in the snippet for sealed allocations, as data."""

from pathlib import Path

from harness.job.example import Example
from tests.modules.job import Job, flat

FILE = Path("modules/nomad/sealed-sidecar.nomad.hcl")
TASKS = ("tailscale", "uplink", "relay", "egress-guard")
SEALED = "container:tailscale-${NOMAD_ALLOC_ID}"
OUTSIDE = "uplink"
"""The one task on the host's network."""


def is_sealed(example: Example) -> bool:
    """Whether an example is one of the sealed ones: their tasks join tailscale's container."""
    return SEALED in example.job_file.read_text(encoding="utf-8")


def tasks(job: Job) -> dict[str, Job]:
    """Give the tasks of a job's only group by their names."""
    (group,) = job["TaskGroups"]
    return {task["Name"]: task for task in group["Tasks"]}


def parts(job: Job) -> dict[str, object]:
    """Give all that a job has from the snippet: of its service and ports, and of the tasks that it has of it.

    Templates are told by their files' names, as a job may bring more of them.
    """
    (group,) = job["TaskGroups"]
    found: dict[str, object] = {
        "ports": sorted(port["Label"] for network in group["Networks"] for port in network["DynamicPorts"])
    }
    for service in group["Services"]:
        # Its name is each job's own.
        found.update(flat({**service, "Name": ""}, "service"))
    for name, task in tasks(job).items():
        if name in TASKS:
            files = {Path(template["DestPath"]).name: template for template in task["Templates"] or []}
            found.update(flat({**task, "Templates": files}, name))
    return found


def differences(job: Job, snippet: Job) -> dict[str, tuple[object, object]]:
    """Give what differs, of tasks that the job has: path to the value in the job and that in the snippet."""
    here, there = parts(job), parts(snippet)
    missing = set(TASKS) - tasks(job).keys()
    return {
        path: (here.get(path), there.get(path))
        for path in sorted(here.keys() | there.keys())
        if here.get(path) != there.get(path) and path.partition(".")[0] not in missing
    }
