"""Reaches the servers of a live site, as the settings say; who cannot be reached is named by its setting."""

import ssl

import httpx

from harness.errors import NoTailCarError, UsageError
from harness.live.settings import LiveSettings, NomadSettings, TailnetSettings
from harness.live.unreached import trouble
from harness.management.consul import ConsulClient
from harness.management.nomad import NomadClient
from harness.management.patience import PatientTransport

PATIENCE_SECONDS = 30.0
"""How long a server may be away in the middle of a run."""


def trust(cacert: str = "", capath: str = "", *, setting: str = "", skip: bool = False) -> ssl.SSLContext:
    """What is trusted: the certificates of a file, of a folder, or the system's. Raises UsageError.

    Args:
        cacert: a file of PEM certificates.
        capath: a folder of them.
        setting: the setting that names the file, for the error.
        skip: whether no certificate is checked.
    """
    try:
        context = ssl.create_default_context(cafile=cacert or None, capath=capath or None)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            f"{setting}: no certificates can be read from {cacert or capath}: {error}"
        ) from error
    if skip:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def nomad_transport(settings: NomadSettings, patience: float) -> httpx.BaseTransport:
    """HTTP to the cluster's API. Raises UsageError where a certificate cannot be read."""
    context = trust(settings.cacert, settings.capath, setting="NOMAD_CACERT", skip=settings.skip_verify)
    if settings.client_cert:
        try:
            context.load_cert_chain(settings.client_cert, settings.client_key)
        except (ssl.SSLError, OSError) as error:
            raise UsageError(f"NOMAD_CLIENT_CERT: cannot be used with NOMAD_CLIENT_KEY: {error}") from error
    return PatientTransport(
        httpx.HTTPTransport(verify=context), patience, server_name=settings.tls_server_name
    )


def nomad(settings: NomadSettings, *, patience: float = PATIENCE_SECONDS) -> NomadClient:
    """A client of the cluster; nothing is asked yet. Raises UsageError."""
    return NomadClient(
        nomad_transport(settings, patience),
        settings.token,
        address=settings.address,
        region=settings.region,
    )


def tailnet_transport(settings: TailnetSettings, patience: float) -> httpx.BaseTransport:
    """HTTP to the tailnet's API. Raises UsageError where a certificate cannot be read."""
    return PatientTransport(
        httpx.HTTPTransport(verify=trust(settings.cacert, setting="TAILNET_CACERT")), patience
    )


def consul(settings: LiveSettings) -> ConsulClient | None:
    """A client of Consul's catalogue, where one is named. Raises UsageError."""
    if not settings.consul_address:
        return None
    context = trust(settings.consul_cacert, setting="CONSUL_CACERT")
    transport = PatientTransport(httpx.HTTPTransport(verify=context), PATIENCE_SECONDS)
    return ConsulClient(transport, settings.consul_token, address=settings.consul_address)


def why_unreachable(error: httpx.TransportError, *, address: str, ca: str) -> NoTailCarError:
    """The error for a server to which no connection came about, by the settings with its URL and its CA."""
    found = trouble(error, address=address, ca=ca)
    return UsageError(found.problem, remedy=found.remedy)
