"""What Consul's catalogue tells of a job's services while it runs. It judges nothing."""

from collections.abc import Collection
from contextlib import suppress

from harness.errors import LabError
from harness.ledger.facts import CatalogueSeen, CheckSeen, RegisteredService
from harness.management.consul import CatalogueEntry, ConsulClient
from harness.management.waiting import wait_until

_PASSING_SECONDS = 10


def look(
    consul: ConsulClient, allocations: Collection[str], seconds: float = _PASSING_SECONDS
) -> CatalogueSeen:
    """Read what allocations registered, once their checks pass; checks that do not are a finding.

    Args:
        consul: the agent that the job's services are registered with.
        allocations: the ids of the job's allocations.
        seconds: how long their checks may take.

    Raises:
        LabError: Consul does not answer.
    """

    def all_pass() -> bool:
        found = _read(consul, allocations).registered
        return bool(found) and all(c.status == "passing" for service in found for c in service.checks)

    with suppress(LabError):
        wait_until(all_pass, seconds=seconds, what="every check of the job's services passes")
    return _read(consul, allocations)


def _read(consul: ConsulClient, allocations: Collection[str]) -> CatalogueSeen:
    names = tuple(sorted(consul.services()))
    found = [
        _with_checks(consul, entry, allocation)
        for name in names
        for entry in consul.service(name)
        for allocation in allocations
        # Nomad names what it registers by the allocation (nomad, serviceregistration.MakeAllocServiceID).
        if allocation in entry.id
    ]
    return CatalogueSeen(names, tuple(found))


def _with_checks(consul: ConsulClient, entry: CatalogueEntry, allocation: str) -> RegisteredService:
    checks = [
        CheckSeen(check.name, check.status, check.output)
        for check in consul.checks(entry.service)
        if check.service_id == entry.id
    ]
    return RegisteredService(allocation, entry.service, entry.address, entry.port, tuple(checks))
