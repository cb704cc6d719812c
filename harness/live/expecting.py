"""What claims are judged against on a live site: the promises of smoke.toml, and where things are. Pure."""

from collections.abc import Iterable

from harness.claims.verdict import Expectation, HostAddresses, Served
from harness.job.example import Example
from harness.job.rendering import Rendered
from harness.live.asking import OBSERVER
from harness.live.settings import LiveSettings
from harness.live.values import promised

CLIENT_NODE = "the client"
"""What a verdict calls the Nomad client that a job runs on."""


def expectation_of(
    example: Example, rendered: Rendered, settings: LiveSettings, node: Iterable[str]
) -> Expectation:
    """The expectation of one example here.

    Args:
        example: the job, with its promises.
        rendered: it, as it was registered.
        settings: the site's.
        node: the addresses of the clients that it ran on, as its cluster and the observer know them.
    """
    egress = example.smoke.egress
    here = HostAddresses(CLIENT_NODE, frozenset(node))
    via = _exits(settings, egress.via if egress else ())
    fallback = _exits(settings, egress.fallback if egress else ())
    return Expectation(
        subject=example.name,
        tags=frozenset(example.smoke.tags),
        via=via,
        fallback=fallback,
        serve=tuple(
            Served(promised(p.url, settings) or f"tcp://{p.tcp}", p.status, p.contains, p.service)
            for p in example.smoke.serve
        ),
        node=here,
        hosts=(here, *via, *fallback),
        sidecars=rendered.sidecars,
        guards=rendered.guards,
        workers=rendered.workers,
        sealed=rendered.sealed,
        periodic=rendered.periodic,
        registered=rendered.in_consul,
        outside=frozenset({OBSERVER}),
    )


def _exits(settings: LiveSettings, names: Iterable[str]) -> tuple[HostAddresses, ...]:
    known = [found for name in names if (found := settings.exit(name))]
    return tuple(HostAddresses(e.name, frozenset(e.addresses)) for e in known)
