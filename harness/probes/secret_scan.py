"""Looks for the auth key wherever it must not be, and shows in each place that it would have been found."""

import json
import re
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from types import TracebackType
from typing import Self

from harness.job.submission import Submission
from harness.lab.lab import Lab
from harness.ledger.facts import SecretScan
from harness.management.nomad import Allocation

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
_BETWEEN_FIRST_LOOKS = 0.1
_BETWEEN_LOOKS = 1.0
"""Seconds: first until a worker's environment can be read, then for as long as the job runs."""
_LOOKS_EVERY = 5
"""Of so many seconds one is spent looking at the most, however much an allocation's folder holds."""
_NEXT_PART = "=next-part="
# What the processes of an allocation have, the arguments of all, what its folder holds, and how its
# containers were made. The tasks' secrets folders are where the key belongs: in memory, each readable by its
# task alone. A process that is gone meanwhile is none that could be read. A variable may be of many lines,
# and ends with a NUL.
_LOOK = """
grep -lsza "^NOMAD_ALLOC_ID=$1" /proc/[0-9]*/environ | xargs --no-run-if-empty grep -sHza ''
echo "$0"
grep -a '' /proc/[0-9]*/cmdline 2>/dev/null
echo "$0"
grep -rFa --exclude-dir=secrets --exclude-dir=private -f /dev/stdin "$2/$1" | head -c 100000
echo "$0"
docker ps --all --quiet --no-trunc --filter "name=$1" | xargs --no-run-if-empty docker inspect || true
"""
_CHEAP_LOOK = _LOOK[: _LOOK.index("docker ps")]
"""Without the containers, which are as they were made."""


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


def variables_of(environments: str, tasks: frozenset[str]) -> list[str]:
    """The environment variables that processes of these tasks have, as `NAME=value`.

    Args:
        environments: variables of processes, each as grep(1) gives a record of /proc/PID/environ: with that
            file's name before it, and a NUL behind it.
        tasks: the tasks' names, which Nomad gives to a task's processes as NOMAD_TASK_NAME.
    """
    of_process: dict[str, list[str]] = {}
    for record in environments.split("\0"):
        file, _, variable = record.partition(":")
        of_process.setdefault(file, []).append(variable)
    return [
        variable
        for variables in of_process.values()
        if any(f"NOMAD_TASK_NAME={task}" in variables for task in tasks)
        for variable in variables
    ]


class WhileRunning:
    """Owns a search of what is there only while a job runs: processes, environments, containers, files.

    It looks again and again to its end, as a key that appears late, or for a moment, is exposed as well.
    """

    def __init__(
        self,
        lab: Lab,
        submission: Submission,
        allocation: Allocation,
        secret: Secret,
        *,
        workers: frozenset[str],
        pool: ThreadPoolExecutor,
    ) -> None:
        """Begin.

        Args:
            lab: where the job runs.
            submission: the job.
            allocation: the one of it that is looked into.
            secret: the auth key.
            workers: its tasks that must not have the key in their environment.
            pool: has a thread to spare until the end, and two more for a moment.
        """
        self._lab = lab
        self._submission = submission
        self._allocation = allocation.id
        self._secret = secret
        self._workers = workers
        self._over = Event()
        self._others = [pool.submit(look) for look in (self._variable, self._registered)]
        self._looking = pool.submit(self._look_on)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def end(self) -> list[SecretScan]:
        """Look a last time, and give what was found in each place. Raises LabError."""
        self._over.set()
        return [*self._looking.result(), *(other.result() for other in self._others)]

    def _look_on(self) -> list[SecretScan]:
        seen: list[dict[str, None]] = [{}, {}, {}, {}]
        spent = self._add(seen, _LOOK)
        # Nomad tells of a start a moment before the container's first process has become the worker.
        while not self._over.wait(
            max(_BETWEEN_LOOKS if seen[0] else _BETWEEN_FIRST_LOOKS, (_LOOKS_EVERY - 1) * spent)
        ):
            spent = self._add(seen, _CHEAP_LOOK)
        self._add(seen, _LOOK)
        environments, processes, files, containers = seen
        allocation = self._allocation
        return [
            search("worker environment", environments, self._secret, f"NOMAD_ALLOC_ID={allocation}"),
            search("process list", processes, self._secret, "tailscaled"),
            search("allocation directory", files, self._secret, _FIRST_WORDS),
            search("container configuration", containers, self._secret, allocation),
        ]

    def _add(self, seen: list[dict[str, None]], script: str) -> float:
        """Look once, add what is new, and give the seconds that it took."""
        began = time.monotonic()
        for lines, part in zip(seen, self._look(script), strict=True):
            lines.update(dict.fromkeys(part))
        return time.monotonic() - began

    def _look(self, script: str) -> list[list[str]]:
        """The lines of each place, as they are now; those of workers' environments are their variables."""
        patterns = "\n".join((*self._secret.needles, _FIRST_WORDS)) + "\n"
        argv = ("sh", "-c", script, _NEXT_PART, self._allocation, ALLOCATIONS)
        text = self._lab.node.host.run(*argv, stdin=patterns.encode()).expect().stdout
        environments, processes, files, containers = text.split(f"{_NEXT_PART}\n")
        variables = variables_of(environments, self._workers)
        arguments = processes.replace("\0", " ").splitlines()
        return [variables, arguments, files.splitlines(), containers.splitlines()]

    def _variable(self) -> SecretScan:
        place = self._submission.auth_key
        items = self._lab.node.nomad.read_variable(place.variable, self._submission.namespace)
        # Whatever else the Variable holds is none of this scan's business.
        lines = [f"{place.item}={items.get(place.item, '')}"]
        return search("nomad variable", lines, self._secret, place.item, expected=True)

    def _registered(self) -> SecretScan:
        submission = self._submission
        text = json.dumps(self._lab.node.nomad.job(submission.job, submission.namespace), indent=1)
        # A key that somebody wrote into the job is another one than this run's, which is made for it.
        return search("job as registered", text.splitlines(), self._secret, submission.job, any_key=True)


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
