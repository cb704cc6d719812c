"""The settings of a live site, read from the environment: env.template describes each. Pure.

Whatever is wrong is said with the setting's name, before anything is asked for over a network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import UsageError

TAILSCALE_CONTROL = "https://controlplane.tailscale.com"
TAILSCALE_API = "https://api.tailscale.com"
_SECONDS = 180
_ALLOCATIONS = 4


@dataclass(frozen=True)
class NomadSettings:
    """The cluster, by the variables that Nomad's own command reads (`nomad -h`, and its api package)."""

    address: str
    token: str = field(default="", repr=False)
    namespace: str = "default"
    region: str = ""
    cacert: str = ""
    capath: str = ""
    client_cert: str = ""
    client_key: str = ""
    tls_server_name: str = ""
    skip_verify: bool = False


@dataclass(frozen=True)
class Belonging:
    """How a member of ours belongs to the tailnet: by tags, or as a device of a user (headscale alone)."""

    tags: tuple[str, ...] = ()
    user: str = ""


@dataclass(frozen=True)
class TailnetSettings:
    """The tailnet, and how its nodes and keys are come by: by an API, or by one auth key."""

    login_server: str
    """The control server, as jobs see it."""
    domain: str
    serve_scheme: str
    """http where the control server gives no certificates (headscale), else https."""
    headscale_key: str = field(default="", repr=False)
    tailscale_key: str = field(default="", repr=False)
    tailscale_tailnet: str = "-"
    tailscale_api: str = TAILSCALE_API
    cacert: str = ""
    auth_key: str = field(default="", repr=False)
    """One auth key for every job, where there is no API to make one for each."""
    client: Belonging | None = None
    """Who may reach what jobs serve."""
    stranger: Belonging | None = None
    """Who may not."""
    notice_url: str = ""
    """What the stranger may reach."""


@dataclass(frozen=True)
class ExitSetting:
    """An exit node: as smoke.toml calls it, as the tailnet does, and the addresses that the world sees."""

    name: str
    node: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class ObserverSettings:
    """A place on the internet that sees who comes, and tries who lets it in (docker/observer)."""

    url: str
    token: str = field(repr=False)
    cacert: str = ""


@dataclass(frozen=True)
class LiveSettings:
    """All that a live site is told."""

    nomad: NomadSettings
    tailnet: TailnetSettings
    exits: tuple[ExitSetting, ...] = ()
    check_url: str = ""
    check_url_v6: str = ""
    observer: ObserverSettings | None = None
    consul_address: str = ""
    consul_token: str = field(default="", repr=False)
    consul_cacert: str = ""
    seconds: int = _SECONDS
    """How long one job may take to come to something."""
    allocations: int = _ALLOCATIONS
    """How many allocations one job may have."""

    def exit(self, name: str) -> ExitSetting | None:
        """The exit node that smoke.toml calls so; None where EXIT_NODES has none."""
        return next((e for e in self.exits if e.name == name), None)


def read(environment: Mapping[str, str]) -> LiveSettings:
    """Read the settings. Raises UsageError, in one line that begins with the setting's name."""
    given = {name: value.strip() for name, value in environment.items()}
    return LiveSettings(
        nomad=_nomad(given),
        tailnet=_tailnet(given),
        exits=tuple(_exits(given.get("EXIT_NODES", ""))),
        check_url=_url(given, "CHECK_URL"),
        check_url_v6=_url(given, "CHECK_URL_V6"),
        observer=_observer(given),
        consul_address=_url(given, "CONSUL_HTTP_ADDR"),
        consul_token=given.get("CONSUL_HTTP_TOKEN", ""),
        consul_cacert=_file(given, "CONSUL_CACERT"),
        seconds=_number(given, "SMOKE_SECONDS", _SECONDS),
        allocations=_number(given, "LIVE_ALLOCATIONS", _ALLOCATIONS),
    )


def _nomad(given: Mapping[str, str]) -> NomadSettings:
    address = _url(given, "NOMAD_ADDR")
    if not address:
        raise UsageError("NOMAD_ADDR: not set", remedy="the cluster's address, such as https://nomad:4646")
    certificate, key = _file(given, "NOMAD_CLIENT_CERT"), _file(given, "NOMAD_CLIENT_KEY")
    if bool(certificate) != bool(key):
        lacking = "NOMAD_CLIENT_KEY" if certificate else "NOMAD_CLIENT_CERT"
        raise UsageError(f"{lacking}: not set, while its other half is")
    skip = given.get("NOMAD_SKIP_VERIFY", "").lower()
    if skip not in ("", "0", "1", "true", "false"):
        raise UsageError(f"NOMAD_SKIP_VERIFY: {skip!r} is neither true nor false")
    return NomadSettings(
        address=address.rstrip("/"),
        token=given.get("NOMAD_TOKEN", ""),
        namespace=given.get("NOMAD_NAMESPACE") or "default",
        region=given.get("NOMAD_REGION", ""),
        cacert=_file(given, "NOMAD_CACERT"),
        capath=_folder(given, "NOMAD_CAPATH"),
        client_cert=certificate,
        client_key=key,
        tls_server_name=given.get("NOMAD_TLS_SERVER_NAME", ""),
        skip_verify=skip in ("1", "true"),
    )


def _tailnet(given: Mapping[str, str]) -> TailnetSettings:
    login_server = _url(given, "TAILNET_LOGIN_SERVER") or TAILSCALE_CONTROL
    headscale, tailscale = given.get("HEADSCALE_API_KEY", ""), given.get("TAILSCALE_API_KEY", "")
    if headscale and tailscale:
        raise UsageError("TAILSCALE_API_KEY: set beside HEADSCALE_API_KEY; a tailnet has one control server")
    if headscale and login_server == TAILSCALE_CONTROL:
        raise UsageError(
            "TAILNET_LOGIN_SERVER: not set; HEADSCALE_API_KEY is for a headscale, whose URL it is"
        )
    auth_key = _secret_of(given, "TAILNET_AUTH_KEY_FILE")
    if not (headscale or tailscale or auth_key):
        raise UsageError(
            "TAILNET_AUTH_KEY_FILE: not set, and neither is an API key, so no job can join the tailnet",
            remedy="set HEADSCALE_API_KEY, TAILSCALE_API_KEY or TAILNET_AUTH_KEY_FILE (env.template)",
        )
    scheme = given.get("TAILNET_SERVE_SCHEME") or "https"
    if scheme not in ("http", "https"):
        raise UsageError(f"TAILNET_SERVE_SCHEME: {scheme!r} is neither http nor https")
    return TailnetSettings(
        login_server=login_server.rstrip("/"),
        domain=given.get("TAILNET_DOMAIN", "").strip("."),
        serve_scheme=scheme,
        headscale_key=headscale,
        tailscale_key=tailscale,
        tailscale_tailnet=given.get("TAILSCALE_TAILNET") or "-",
        tailscale_api=(_url(given, "TAILSCALE_API_URL") or TAILSCALE_API).rstrip("/"),
        cacert=_file(given, "TAILNET_CACERT"),
        auth_key=auth_key,
        client=_belonging(given, "TAILNET_CLIENT", by_user=not tailscale),
        stranger=_belonging(given, "TAILNET_STRANGER", by_user=not tailscale),
        notice_url=_url(given, "TAILNET_NOTICE_URL"),
    )


def _belonging(given: Mapping[str, str], name: str, *, by_user: bool) -> Belonging | None:
    """Tags, comma separated, or the name of a user."""
    words = tuple(word.strip() for word in given.get(name, "").split(",") if word.strip())
    if not words:
        return None
    if all(word.startswith("tag:") for word in words):
        return Belonging(tags=words)
    if len(words) == 1 and by_user:
        return Belonging(user=words[0])
    raise UsageError(f"{name}: {given[name]!r} is no list of tags", remedy="tags begin with tag:")


def _exits(text: str) -> list[ExitSetting]:
    """Read `exit-a=NODE ADDRESS ADDRESS; exit-b=...`."""
    found = []
    for part in filter(None, map(str.strip, text.split(";"))):
        name, _, rest = part.partition("=")
        node, *addresses = rest.split() or [""]
        if not node:
            raise UsageError(
                f"EXIT_NODES: {part!r} is not of the form NAME=NODE ADDRESS...",
                remedy="for example EXIT_NODES=exit-a=fra-exit 203.0.113.4 2001:db8::4; exit-b=...",
            )
        for address in addresses:
            try:
                ip_address(address)
            except ValueError as error:
                raise UsageError(f"EXIT_NODES: {address!r} is no address, in {part!r}") from error
        # The shortest form, as observers write it.
        shortest = tuple(str(ip_address(address)) for address in addresses)
        found.append(ExitSetting(name.strip(), node, shortest))
    return found


def _observer(given: Mapping[str, str]) -> ObserverSettings | None:
    url = _url(given, "OBSERVER_URL")
    token = given.get("OBSERVER_TOKEN") or _secret_of(given, "OBSERVER_TOKEN_FILE")
    if not url:
        return None
    if not token:
        raise UsageError("OBSERVER_TOKEN: not set, while OBSERVER_URL is")
    return ObserverSettings(url.rstrip("/"), token, _file(given, "OBSERVER_CACERT"))


def _url(given: Mapping[str, str], name: str) -> str:
    text = given.get(name, "")
    parts = urlsplit(text)
    if text and not (parts.scheme in ("http", "https") and parts.hostname):
        raise UsageError(f"{name}: {text!r} is no URL with http or https")
    return text


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, "")
    if not text:
        return default
    if not (text.isdecimal() and int(text) > 0):
        raise UsageError(f"{name}: {text!r} is no whole number above 0")
    return int(text)


def _file(given: Mapping[str, str], name: str) -> str:
    text = given.get(name, "")
    if text and not Path(text).is_file():
        raise UsageError(f"{name}: there is no file {text}")
    return text


def _folder(given: Mapping[str, str], name: str) -> str:
    text = given.get(name, "")
    if text and not Path(text).is_dir():
        raise UsageError(f"{name}: there is no folder {text}")
    return text


def _secret_of(given: Mapping[str, str], name: str) -> str:
    """What a file holds, without white space around it."""
    file = _file(given, name)
    if not file:
        return ""
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{name}: {file} cannot be read") from error
    if not text:
        raise UsageError(f"{name}: {file} is empty")
    return text
