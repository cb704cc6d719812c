"""Looks for the auth key where whoever may run jobs can look: logs, events, the job, an environment."""

import json
from collections.abc import Sequence

from harness.errors import LabError
from harness.job.rendering import Rendered
from harness.job.submission import Submission
from harness.ledger.facts import SecretScan
from harness.live import naming
from harness.live.stage import LiveStage
from harness.management.nomad import Allocation
from harness.probes.secret_scan import Secret, search

_ENVIRONMENT = "tr '\\0' '\\n' < /proc/1/environ"
_SHELL_SECONDS = 15.0


def while_running(
    stage: LiveStage, submission: Submission, allocation: Allocation, secret: Secret, rendered: Rendered
) -> list[SecretScan]:
    """Search what is there only while the job runs. A worker that has ended by then cannot be looked into."""
    job = submission.job
    registered = json.dumps(stage.nomad.job(job, stage.namespace), indent=1)
    items = stage.nomad.read_variable(naming.variable_path(job), stage.namespace)
    scans = [
        search("job as registered", registered.splitlines(), secret, job, any_key=True),
        search(
            "nomad variable",
            [f"{k}={v}" for k, v in items.items()],
            secret,
            rendered.auth_key.item,
            expected=True,
        ),
    ]
    for task in sorted(rendered.workers):
        state = allocation.task(task)
        if state is None or state.state != "running":
            continue
        try:
            said = stage.shell.run(allocation.id, task, "sh", "-c", _ENVIRONMENT, seconds=_SHELL_SECONDS)
        except LabError:
            continue
        marker = f"NOMAD_ALLOC_ID={allocation.id}"
        if said.exit_code == 0 and marker in said.stdout:
            scans.append(search("worker environment", said.stdout.splitlines(), secret, marker))
    return scans


def afterwards(stage: LiveStage, allocations: Sequence[Allocation], secret: Secret) -> list[SecretScan]:
    """Search what the job left to read: the logs and the events of its tasks."""
    tasks = [(a, task) for a in allocations for task in a.tasks]
    logs = [stage.nomad.log(a.id, t.name, stream) for a, t in tasks for stream in ("stdout", "stderr")]
    events = [f"{t.name}: {e.type}: {e.message}" for _, t in tasks for e in t.events]
    return [
        search("task logs", "\n".join(logs).splitlines(), secret, "Program starting"),
        search("task events", events, secret, "Started"),
    ]
