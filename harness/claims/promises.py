"""From what an example promises and where things are, to what claims are judged against. Pure."""

from collections.abc import Iterable

from harness.claims.verdict import Expectation, HostAddresses, Served
from harness.errors import UsageError
from harness.job.example import Example
from harness.job.rendering import Rendered
from harness.lab.topology import Host, Role, Topology


def expectation_of(example: Example, rendered: Rendered, topology: Topology) -> Expectation:
    """The expectation of one example in one topology.

    Raises UsageError when its smoke.toml names an exit that the topology does not have.
    """
    control = topology.only(Role.CONTROL)
    egress = example.smoke.egress
    router = HostAddresses(topology.internet.name, topology.internet.addresses)
    return Expectation(
        subject=example.name,
        tags=frozenset(example.smoke.tags),
        via=exits(example, egress.via, topology) if egress else (),
        fallback=exits(example, egress.fallback, topology) if egress else (),
        serve=tuple(
            Served(p.url or f"tcp://{p.tcp}", p.status, p.contains, p.service) for p in example.smoke.serve
        ),
        node=_addresses(topology.only(Role.NODE)),
        control=_addresses(control),
        resolver=router,
        infrastructure_names=frozenset(control.names),
        hosts=(router, *(_addresses(h) for h in topology.hosts)),
        sidecars=rendered.sidecars,
        guards=rendered.guards,
        workers=rendered.workers,
        sealed=rendered.sealed,
        periodic=rendered.periodic,
        registered=rendered.in_consul,
        outside=frozenset(h.name for h in topology.with_role(Role.BYSTANDER)),
        members=topology.members,
    )


def exits(example: Example, names: Iterable[str], topology: Topology) -> tuple[HostAddresses, ...]:
    """The exits of these names. Raises UsageError for one that is not an exit node of the topology."""
    known = {h.name: h for h in topology.exits}
    for name in names:
        if name not in known:
            raise UsageError(
                f"{example.smoke_file}: [egress] names the exit {name}, which the lab does not have",
                remedy=f"its exit nodes are {', '.join(known)}",
            )
    return tuple(_addresses(known[name]) for name in names)


def _addresses(host: Host) -> HostAddresses:
    return HostAddresses(host.name, host.addresses)
