"""What a job is told on a live site: placeholders and variables, as the settings have them. Pure."""

from collections.abc import Collection

from harness.errors import UsageError
from harness.job.example import Example
from harness.live.settings import LiveSettings

_EXIT_SECONDS = 10
NO_EXIT = "no-such-exit"
"""A name that no node of the tailnet has: what a guard is told when its exit is to be absent."""


def placeholders(settings: LiveSettings, example: Example) -> dict[str, str]:
    """What the placeholders of smoke.toml's [vars] stand for here. Raises UsageError for what is not set."""
    egress = example.smoke.egress
    names = (*egress.via, *egress.fallback) if egress else ()
    if egress and not settings.check_url:
        raise UsageError("CHECK_URL: not set, so that nobody tells a guard its address")
    for name in egress.via if egress else ():
        if settings.exit(name) is None:
            raise UsageError(
                f"EXIT_NODES: does not say which exit node {name} is, which {example.smoke_file} names",
                remedy=f"EXIT_NODES={name}=NODE ADDRESS ADDRESS; ...",
            )
    fourth = settings.check_url
    sixth = settings.check_url_v6 or fourth
    return {
        "login_server": settings.tailnet.login_server,
        "tailnet_domain": settings.tailnet.domain,
        "check_url": settings.check_url,
        **{f"echo:{name}": fourth.rstrip("/") for name in ("http", "https", "http4", "https4")},
        **{f"echo:{name}": sixth.rstrip("/") for name in ("http6", "https6")},
        **{f"egress:{name}": ",".join(_addresses(settings, name)) for name in names},
    }


def given(
    settings: LiveSettings,
    example: Example,
    known: Collection[str],
    *,
    tailnet_name: str,
    exit_absent: bool = False,
    lying_url: str = "",
) -> dict[str, str]:
    """The variables that a job gets beside its own var files and smoke.toml, of those that it has.

    Args:
        settings: the site's.
        example: the job.
        known: the names of its variables.
        tailnet_name: its name in the tailnet.
        exit_absent: whether it is told an exit that is not there.
        lying_url: what tells it a wrong address, instead of CHECK_URL.
    """
    egress = example.smoke.egress
    wanted: dict[str, str] = {
        "login_server": settings.tailnet.login_server,
        "tailnet_domain": settings.tailnet.domain,
        "serve_scheme": settings.tailnet.serve_scheme,
        "tailnet_name": tailnet_name,
    }
    if egress:
        exits = [_node(settings, name) for name in egress.via]
        spare = [_node(settings, name) for name in egress.fallback]
        wanted["exit_node"] = NO_EXIT if exit_absent else exits[0]
        # As long as it takes in a network that is none of ours.
        wanted["exit_wait"] = str(_EXIT_SECONDS)
        others = [] if exit_absent else [*exits[1:], *spare]
        wanted["fallback_exit_nodes"] = ",".join(filter(None, others))
        wanted["check_url"] = lying_url or settings.check_url
        wanted["expected_egress"] = ",".join(
            a for name in (*egress.via, *egress.fallback) for a in _addresses(settings, name)
        )
    return {name: value for name, value in wanted.items() if name in known}


def _node(settings: LiveSettings, name: str) -> str:
    found = settings.exit(name)
    return found.node if found else ""


def _addresses(settings: LiveSettings, name: str) -> tuple[str, ...]:
    found = settings.exit(name)
    return found.addresses if found else ()


def promised(url: str, settings: LiveSettings) -> str:
    """A promise's URL as it is kept here: by http where the control server gives no certificates."""
    if settings.tailnet.serve_scheme == "http" and url.startswith("https:"):
        return "http:" + url.removeprefix("https:")
    return url
