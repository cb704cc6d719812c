"""The faults, by their names."""

from collections.abc import Mapping

from harness.errors import UsageError
from harness.faults import agent, certificates, control, daemon, exits, network, placement
from harness.faults.fault import Fault

FAULTS: Mapping[str, type[Fault]] = {
    fault.name: fault
    for fault in (
        *exits.FAULTS,
        *daemon.FAULTS,
        *control.FAULTS,
        *certificates.FAULTS,
        *network.FAULTS,
        *placement.FAULTS,
        *agent.FAULTS,
    )
}
ALL = "all"


def chosen(names: str) -> tuple[type[Fault], ...]:
    """The faults of a comma separated list, or `all` of them. Raises UsageError for an unknown one."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if ALL in wanted:
        return tuple(FAULTS.values())
    for name in wanted:
        if name not in FAULTS:
            raise UsageError(
                f"--faults names {name}, which is no fault", remedy=f"there are {', '.join(FAULTS)}; or all"
            )
    return tuple(FAULTS[name] for name in dict.fromkeys(wanted))
