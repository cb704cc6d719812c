"""The episodes of a subject: its executions under different circumstances, by name."""

AS_IT_STANDS = "as-it-stands"
"""The job as a user would run it, alone on its node."""
CONTROL = "control"
"""The harness's own traffic, made to show that the observers see what there is to see."""
EXIT_ABSENT = "exit-absent"
"""The same job with an auth key whose node may see no exit node."""
ADDRESS_WRONG = "address-wrong"
"""The same job while the check service answers with an address that is no exit's."""
EXIT_WITHDRAWN = "exit-withdrawn"
"""The same job while its first exit node is no exit node any more, and a fallback has to serve."""
PORTS = "ports"
"""The job as a user would run it, while its node is scanned and looked into."""
ESCAPE = "escape"
"""Attempts to go out directly from where a task of the job runs."""
ESCAPE_CONTROL = "escape-control"
"""The same attempts from the node itself, which the observers must show."""
FAULT = "fault-"
"""Begins the name of an episode in which a fault befalls the job: the fault's name follows."""
CONTROLS = frozenset({CONTROL, ESCAPE_CONTROL})
"""The episodes in which the harness, and not the job, is what is seen."""


def under(fault: str) -> str:
    """The episode in which a fault befalls the job."""
    return f"{FAULT}{fault}"
