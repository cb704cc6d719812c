"""Examples and settings for the tests of the live site's pure parts."""

from pathlib import Path

from harness.job.example import EgressPromise, Example, ServePromise, Smoke
from harness.live import settings
from harness.live.settings import LiveSettings

ENVIRONMENT = {
    "NOMAD_ADDR": "https://nomad.example.com:4646",
    "TAILNET_LOGIN_SERVER": "https://headscale.example.com",
    "TAILNET_DOMAIN": "tailnet.example.com",
    "TAILNET_SERVE_SCHEME": "http",
    "HEADSCALE_API_KEY": "key",
    "EXIT_NODES": "exit-a=fra 203.0.113.4 2001:db8::4; exit-b=ams 203.0.113.5",
    "CHECK_URL": "http://check4.example.com/",
    "CHECK_URL_V6": "http://check6.example.com/",
}


def told(**changed: str) -> LiveSettings:
    """Settings, some of them changed."""
    return settings.read(ENVIRONMENT | changed)


def example(smoke: Smoke | None = None) -> Example:
    """An example that leaves by exit-a, or by exit-b."""
    promise = EgressPromise(("exit-a",), ("exit-b",))
    folder = Path("jobs/mine")
    return Example("mine", folder, folder / "mine.nomad.hcl", smoke or Smoke("egress", egress=promise))


def serving(*promises: ServePromise) -> Example:
    """An example that serves."""
    return example(Smoke("serve", serve=promises))
