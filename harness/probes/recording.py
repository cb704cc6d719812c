"""From what observers and Nomad say to facts in the ledger."""

from collections.abc import Iterable

from harness.ledger.facts import (
    AllocationSeen,
    TaskEnd,
    TaskEventSeen,
    TaskLog,
)
from harness.ledger.ledger import Ledger
from harness.management.nomad import Allocation, NomadClient
from harness.probes.watch import Seen

LOG_TAIL = 16_000  # characters; tailscaled takes 3,000 to end, and what matters came before that


def write(ledger: Ledger, seen: Seen, *, subject: str, episode: str) -> None:
    """Write down what the router, the DNS and the echo service saw."""
    ledger.write_all(
        (line.request for line in seen.requests), observer="echo", subject=subject, episode=episode
    )
    ledger.write_all(seen.flows, observer="flow book", subject=subject, episode=episode)
    ledger.write(seen.book, observer="flow book", subject=subject, episode=episode)
    ledger.write_all(seen.names, observer="dns", subject=subject, episode=episode)


def write_job(
    ledger: Ledger,
    nomad: NomadClient,
    allocations: Iterable[Allocation],
    secrets: Iterable[str],
    *,
    subject: str,
    episode: str,
) -> None:
    """Write down what a job left: of each allocation the logs of its tasks, and how it stands."""
    needles = tuple(secrets)
    for allocation in allocations:
        logs = task_logs(nomad, allocation, needles)
        ledger.write_all(logs, observer="nomad", subject=subject, episode=episode)
        write_allocation(ledger, allocation, subject=subject, episode=episode)


def write_allocation(ledger: Ledger, allocation: Allocation, *, subject: str, episode: str) -> None:
    """Write down an allocation as it stands, with every event of every task (a sidecar's too)."""
    ends = tuple(TaskEnd(t.name, t.state, t.failed, t.started, t.restarts) for t in allocation.tasks)
    events = [
        TaskEventSeen(allocation.id, task.name, event.type, event.message, event.exit_code, event.at)
        for task in allocation.tasks
        for event in task.events
    ]
    for fact in (*sorted(events, key=lambda e: e.event_at),):
        ledger.write(fact, observer="nomad", subject=subject, episode=episode)
    seen = AllocationSeen(allocation.id, allocation.job, allocation.status, allocation.description, ends)
    ledger.write(seen, observer="nomad", subject=subject, episode=episode)


def task_logs(nomad: NomadClient, allocation: Allocation, secrets: Iterable[str]) -> list[TaskLog]:
    """The logs of every task of an allocation; a secret in one is masked, and found by the scan."""
    logs = []
    for task in allocation.tasks:
        for stream in ("stdout", "stderr"):
            text = nomad.log(allocation.id, task.name, stream)
            for secret in secrets:
                text = text.replace(secret, "[auth key]")
            if text.strip():
                logs.append(TaskLog(allocation.id, task.name, stream, text[-LOG_TAIL:]))
    return logs
