"""What a run makes on somebody's cluster: names that are nobody else's, and who made it, and until when."""

import copy
import hashlib
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import UsageError
from harness.job.example import Example
from harness.job.rendering import Rendered
from harness.live.rights import JOBS
from harness.run import places
from harness.run.run import RUN_LABEL

HOST_META = "notailcar.host"
"""The machine that the run's harness is on (see `machine`): there, its lock says whether it lives."""
UNTIL_META = "notailcar.until"
"""Unix seconds after which nothing of the run is needed any more, whoever finds it."""
KEY_ITEM = "notailcar_key"
"""Beside an auth key in its Nomad Variable: the id by which the key is revoked."""
NODE_ITEM = "notailcar_node"
"""How the names in the tailnet begin of whoever joins by that key."""
_LABEL = 63  # characters of a name in DNS (RFC 1035, 2.3.4)
_SUFFIX = 9  # what examples add to their name: a hyphen and a short allocation id


def machine() -> str:
    """This machine, and the cache whose locks tell which runs of it live."""
    return f"{socket.gethostname()}-{hashlib.sha256(str(places.cache()).encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Mark:
    """Whose a thing on the cluster is."""

    run: str
    host: str
    until: int

    @property
    def meta(self) -> dict[str, str]:
        """As a job's meta, and as items of a Variable (whose keys are a narrower lot)."""
        return {RUN_LABEL: self.run, HOST_META: self.host, UNTIL_META: str(self.until)}

    @property
    def items(self) -> dict[str, str]:
        """As items of a Nomad Variable, whose keys have no dots."""
        return {name.replace(".", "_"): value for name, value in self.meta.items()}


def mark_of(found: Mapping[str, str]) -> Mark | None:
    """The mark in a job's meta or a Variable's items; None where there is none, or no whole one."""
    plain = {name.replace(".", "_"): value for name, value in found.items()}
    run, host, until = (plain.get(n.replace(".", "_"), "") for n in (RUN_LABEL, HOST_META, UNTIL_META))
    return Mark(run, host, int(until)) if run and until.isdecimal() else None


def job_id(run: str, name: str, purpose: str) -> str:
    """The id of a job of this run: `notailcar-RUN-NAME-PURPOSE`."""
    return f"{JOBS}{run}-{name}-{purpose}"


def variable_path(job: str) -> str:
    """Where a job of ours reads its auth key: below its own id, which a workload may read without any policy.

    Source: https://developer.hashicorp.com/nomad/docs/concepts/workload-identity.
    """
    return f"nomad/jobs/{job}"


def tailnet_name(run: str, name: str, purpose: str) -> str:
    """A name in the tailnet that fits, with what jobs add to it, into a label of DNS."""
    short = run.replace("-", "")[2:]
    end = f"-{short}-{purpose[:4]}".rstrip("-")
    return name[: _LABEL - _SUFFIX - len(end)].rstrip("-") + end


def placed(rendered: Rendered, example: Example, *, job: str, mark: Mark) -> Rendered:
    """A rendered job under another id, reading its key elsewhere, with the mark of the run.

    Args:
        rendered: the job as a user would register it.
        example: for errors.
        job: the id that it gets.
        mark: whose it is.

    Raises:
        UsageError: no template of the job reads that Variable, so that it would never get its key.
    """
    secrets = rendered.auth_key.variable
    made: dict[str, Any] = copy.deepcopy(rendered.job)
    found = 0
    for group in made["TaskGroups"]:
        for task in group["Tasks"]:
            for template in task.get("Templates") or ():
                text = str(template.get("EmbeddedTmpl") or "")
                if f'"{secrets}"' in text:
                    found += 1
                    # As JSON writes it: between quotes, as it stood.
                    template["EmbeddedTmpl"] = text.replace(
                        json.dumps(secrets), json.dumps(variable_path(job))
                    )
    if not found:
        raise UsageError(
            f"{example.job_file}: no template of this job reads the Nomad Variable {secrets}",
            remedy='read the auth key by {{ with nomadVar "..." }} from the path that smoke.toml names',
        )
    return marked(replace(rendered, job=made), job=job, mark=mark)


def marked(rendered: Rendered, *, job: str, mark: Mark) -> Rendered:
    """A rendered job under another id, with the mark of the run.

    Its name stays, by which the job knows itself: an id alone must be nobody else's.
    """
    meta = {**(rendered.job.get("Meta") or {}), **mark.meta}
    return replace(rendered, job={**rendered.job, "ID": job, "Meta": meta})
