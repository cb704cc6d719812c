"""What a run left behind, as an administrator sees it."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Left:
    """What is there beyond what the stand-in came up with; all empty where nothing is left."""

    jobs: tuple[str, ...] = ()
    """Ids of jobs that Nomad knows, dead ones too."""
    allocations: tuple[str, ...] = ()
    """Ids of allocations that are not over."""
    variables: tuple[str, ...] = ()
    """Paths of Nomad Variables, as namespace/path."""
    namespaces: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    """Names of tailnet nodes."""
    keys: tuple[str, ...] = ()
    """Ids of auth keys that have not expired."""
    services: tuple[str, ...] = ()
    """Services of Consul's catalogue."""
    containers: tuple[str, ...] = ()
    """Containers in the clients' engines, running or not, as client/name."""

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))
