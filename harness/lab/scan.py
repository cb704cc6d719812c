"""A full scan from a host of the lab, by fixtures/scan/scan.py."""

import json
from collections.abc import Sequence

from harness.errors import LabError
from harness.lab.running_host import FILES, RunningHost
from harness.ledger.facts import PortsScanned

PORTS = 65535
"""All of them: 1 to 65535."""
_SECONDS = 60.0
"""So long it may say nothing; it tells of each address and protocol that it has asked."""


def scan(host: RunningHost, addresses: Sequence[str]) -> list[PortsScanned]:
    """Ask every TCP and UDP port of these addresses from a host. Raises LabError when it cannot."""
    argv = ("python3", f"{FILES}/scan.py", "1", str(PORTS), *addresses)
    return read(host.run(*argv, silence=_SECONDS).expect().stdout, host.name)


def read(text: str, scanner: str) -> list[PortsScanned]:
    """Read what scan.py printed. Pure; raises LabError for anything else."""
    try:
        return [
            PortsScanned(
                scanner=scanner,
                address=found["address"],
                protocol=found["protocol"],
                closed=found["closed"],
                open=tuple(found["open"]),
                shut=tuple(found["shut"]),
                silent=tuple(found["silent"]),
                rounds=found["rounds"],
                began=found["began"],
                ended=found["ended"],
            )
            for found in json.loads(text)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise LabError(f"the scan cannot be read: {error!r}", log=text[:400]) from error
