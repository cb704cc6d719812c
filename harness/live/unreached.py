"""What a connection that did not come about says of the settings. Pure."""

import ssl
from dataclasses import dataclass

import httpx

from harness.management.patience import causes

_OTHER_NAME = ("Hostname mismatch", "IP address mismatch")
"""How OpenSSL begins what it says of a certificate of another host."""


@dataclass(frozen=True)
class Trouble:
    """What is wrong: a line that begins with the setting's name, and the way out where there is one."""

    problem: str
    remedy: str = ""


def trouble(error: httpx.TransportError, *, address: str, ca: str) -> Trouble:
    """Say which setting is wrong, as a server was not reached.

    Args:
        error: what came of it.
        address: the setting that holds the server's URL.
        ca: the setting that holds who is trusted.
    """
    at = _origin(error.request.url)
    if (refused := _of_trust(error)) is not None:
        if refused.startswith(_OTHER_NAME):
            return Trouble(f"{address}: the certificate at {at} is of another host: {refused}")
        return Trouble(
            f"{ca}: the certificate at {at} is not trusted: {refused}",
            f"set {ca} to the file of the CA that signed it",
        )
    if isinstance(error, httpx.TimeoutException):
        seconds = error.request.extensions["timeout"]["connect"]
        late = (
            f"no connection in {seconds:g} s"
            if isinstance(error, httpx.ConnectTimeout)
            else "no answer in time"
        )
        return Trouble(f"{address}: {at} cannot be reached: {late}")
    return Trouble(f"{address}: {at} cannot be reached: {str(error) or type(error).__name__}")


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _of_trust(error: BaseException) -> str | None:
    """Why a certificate was refused, as OpenSSL says it. None where it was not that."""
    refused = (c.verify_message for c in causes(error) if isinstance(c, ssl.SSLCertVerificationError))
    return next(refused, None)
