"""Looks for the auth key wherever it must not be, and shows in each place that it would have been found."""

import json
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.errors import LabError
from harness.job.submission import Submission
from harness.lab.lab import Lab
from harness.ledger.facts import SecretScan
from harness.management.nomad import Allocation
from harness.management.waiting import wait_until

ALLOCATIONS = "/var/lib/nomad/alloc"
"""Where the lab's agent keeps its allocations (fixtures/nomad/agent.hcl)."""
_FIRST_WORDS = "Program starting"
"""What tailscaled's log begins with: a marker in its log, which stands in the allocation's folder."""
_KEY = re.compile(r"\b(?:ts|hs)key-[a-z]+-[\w-]+")
"""What a key of Tailscale or headscale looks like: `tskey-auth-...`, `tskey-client-...`, `hskey-auth-...`.

Sources: https://tailscale.com/kb/1252/key-secret-management, and headscale's hscontrol/db/preauth_keys.go.
"""
_SHOWN = 120  # characters of a line that holds the key
_SHORTEST_SECRET = 12
_WORKER_SECONDS = 3.0
_NEXT_PART = "=next-part="
# What the processes of an allocation have, the arguments of all, and how its containers were made. One that
# is gone meanwhile is none that could be read.
_LOOK = """
grep -ha "$1" /proc/[0-9]*/environ 2>/dev/null
echo "$0"
grep -a '' /proc/[0-9]*/cmdline 2>/dev/null
echo "$0"
docker ps --all --quiet --no-trunc --filter "name=$1" | xargs --no-run-if-empty docker inspect || true
"""


@dataclass(frozen=True)
class Secret:
    """An auth key. Its public prefix may be named by a control server; its last part is the secret."""

    value: str

    @property
    def needles(self) -> tuple[str, ...]:
        """What is searched for: the key, and its secret part alone."""
        last = self.value.rsplit("-", 1)[-1]
        return (self.value, last) if len(last) >= _SHORTEST_SECRET else (self.value,)

    def mask(self, text: str) -> str:
        """The text without the key."""
        for needle in self.needles:
            text = text.replace(needle, "[auth key]")
        return _KEY.sub("[auth key]", text)

    def __repr__(self) -> str:
        return "Secret([auth key])"


def search(
    place: str,
    lines: Iterable[str],
    secret: Secret,
    marker: str,
    *,
    expected: bool = False,
    any_key: bool = False,
) -> SecretScan:
    """Search the lines of one place for the key, and for a marker that is known to be there.

    Args:
        place: its name.
        lines: what is to be read there.
        secret: the key.
        marker: what must be found as well, or the search was blind.
        expected: whether this is where the key belongs.
        any_key: whether whatever looks like a key is one too many, and not this run's alone.
    """
    items = [line for line in lines if line.strip()]
    found = [
        line for line in items if any(n in line for n in secret.needles) or (any_key and _KEY.search(line))
    ]
    hits = [secret.mask(line)[:_SHOWN] for line in found]
    return SecretScan(place, len(items), tuple(hits), marker, any(marker in line for line in items), expected)


def while_running(
    lab: Lab,
    submission: Submission,
    allocation: Allocation,
    secret: Secret,
    *,
    workers: frozenset[str],
    pool: ThreadPoolExecutor,
) -> list[SecretScan]:
    """Search what is there only while the job runs: processes, environments, containers, files."""
    host = lab.node.host
    short = allocation.id

    def processes(text: str) -> SecretScan:
        return search("process list", text.replace("\0", " ").splitlines(), secret, "tailscaled")

    def configurations(text: str) -> SecretScan:
        return search("container configuration", text.splitlines(), secret, short)

    def environments(text: str) -> SecretScan:
        environments = [e.split("\0") for e in text.splitlines()]
        of_workers = [
            variable
            for variables in environments
            if any(f"NOMAD_TASK_NAME={worker}" in variables for worker in workers)
            for variable in variables
        ]
        return search("worker environment", of_workers, secret, f"NOMAD_ALLOC_ID={short}")

    def look() -> list[SecretScan]:
        parts = host.run("sh", "-c", _LOOK, _NEXT_PART, short).expect().stdout.split(f"{_NEXT_PART}\n")
        return [f(text) for f, text in zip((environments, processes, configurations), parts, strict=True)]

    def of_processes() -> list[SecretScan]:
        # Nomad tells of a start a moment before the container's first process has become the worker.
        try:
            return wait_until(
                lambda: found if (found := look())[0].marker_found else None,
                seconds=_WORKER_SECONDS,
                what="the worker's environment can be read",
            )
        except LabError:
            # A search that stays blind is a finding for the claim, not a fault of the lab.
            return look()

    def files() -> SecretScan:
        # The tasks' secrets folders are where the key belongs: in memory, each readable by its task alone.
        search_all = "grep -rFa --exclude-dir=secrets --exclude-dir=private -f /dev/stdin"
        script = f'{search_all} {ALLOCATIONS}/"$0" | head -c 100000'
        patterns = "\n".join((*secret.needles, _FIRST_WORDS)) + "\n"
        text = host.run("sh", "-c", script, short, stdin=patterns.encode()).expect(0, 1).stdout
        return search("allocation directory", text.splitlines(), secret, _FIRST_WORDS)

    def variable() -> SecretScan:
        place = submission.auth_key
        items = lab.node.nomad.read_variable(place.variable, submission.namespace)
        # Whatever else the Variable holds is none of this scan's business.
        lines = [f"{place.item}={items.get(place.item, '')}"]
        return search("nomad variable", lines, secret, place.item, expected=True)

    def registered() -> SecretScan:
        text = json.dumps(lab.node.nomad.job(submission.job, submission.namespace), indent=1)
        # A key that somebody wrote into the job is another one than this run's, which is made for it.
        return search("job as registered", text.splitlines(), secret, submission.job, any_key=True)

    inside = pool.submit(of_processes)
    others = [pool.submit(look) for look in (files, variable, registered)]
    return [*inside.result(), *(other.result() for other in others)]


def afterwards(
    lab: Lab, allocations: Sequence[Allocation], secret: Secret, member: str, pool: ThreadPoolExecutor
) -> list[SecretScan]:
    """Search what the job left to read: logs of tasks, agents and the control server, task events.

    Args:
        lab: where it ran.
        allocations: all of the job's.
        secret: the auth key.
        member: the name by which the job joined the tailnet, the marker in the control server's log.
        pool: what is searched side by side.
    """
    nomad = lab.node.nomad
    tasks = [(allocation, task) for allocation in allocations for task in allocation.tasks]

    def logs() -> SecretScan:
        text = [nomad.log(a.id, task.name, stream) for a, task in tasks for stream in ("stdout", "stderr")]
        return search("task logs", "\n".join(text).splitlines(), secret, _FIRST_WORDS)

    def events() -> SecretScan:
        lines = [f"{task.name}: {e.type}: {e.message}" for _, task in tasks for e in task.events]
        return search("task events", lines, secret, "Started")

    def control_log() -> SecretScan:
        lines = lab.control.host.log(100_000).splitlines()
        return search("control server log", lines, secret, member or "no member")

    def agent_log() -> SecretScan:
        text = lab.node.host.run("cat", "/var/log/nomad.log", "/var/log/dockerd.log").expect().stdout
        return search("nomad agent log", text.splitlines(), secret, allocations[0].id)

    return [
        future.result() for future in [pool.submit(look) for look in (logs, events, control_log, agent_log)]
    ]
