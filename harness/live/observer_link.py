"""HTTP to the observer, and what is wrong when it does not come about: a setting, or the observer."""

import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx

from harness.errors import LabError, NoTailCarError, UsageError
from harness.live.unreached import trouble

CONNECT_SECONDS = 3
ANSWER_SECONDS = 10
_IDLE_SECONDS = 5
"""Shorter than the observer keeps an idle connection: so none is used that it is about to close."""
URL, TOKEN, CA = "OBSERVER_URL", "OBSERVER_TOKEN", "OBSERVER_CACERT"
_README = "docker/observer/README.md"
_WRITTEN = re.compile(r"[!-~]+")


class ObserverLink:
    """Owns one HTTP client.

    Until `known` is set, what is wrong is a setting (UsageError, which begins with its name); from then on
    the observer failed in the middle (LabError).
    """

    def __init__(self, url: str, token: str, verify: ssl.SSLContext | str | bool) -> None:
        """Check the settings; nothing is asked yet. Raises UsageError."""
        self.url = _checked_url(url)
        self.known = False
        self.reached = ""
        """The address that answered last; empty where that is not known."""
        self._http = httpx.Client(
            base_url=self.url,
            verify=_trust(verify),
            headers={"Authorization": f"Bearer {_checked(token)}"},
            limits=httpx.Limits(keepalive_expiry=_IDLE_SECONDS),
            trust_env=False,  # the observer would see a proxy, and not us
        )

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        seconds: float = ANSWER_SECONDS,
    ) -> dict[str, Any]:
        """Ask the observer's management, and read its answer. Raises UsageError or LabError."""
        answer = self.send(method, f"/observer/{path}", params=params, json=json, seconds=seconds)
        try:
            content = answer.json()
        except ValueError as error:
            raise self.wrong(self.stranger()) from error
        if not isinstance(content, dict):
            raise self.wrong(self.stranger())
        return content

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        seconds: float = ANSWER_SECONDS,
    ) -> httpx.Response:
        """Send one request. Raises UsageError or LabError where it is not answered with 200."""
        timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        try:
            with self._http.stream(method, path, params=params, json=json, timeout=timeout) as answer:
                with suppress(OSError):  # the other side may have closed it already
                    self.reached = answer.extensions["network_stream"].get_extra_info("server_addr")[0]
                answer.read()
        except httpx.TransportError as error:
            found = trouble(error, address=URL, ca=CA)
            raise self.wrong(found.problem, remedy=found.remedy) from error
        if answer.status_code != httpx.codes.OK:
            raise self._refused(method, path, answer)
        return answer

    def wrong(self, problem: str, *, remedy: str = "") -> NoTailCarError:
        """The error for what is wrong now."""
        if self.known:
            return self.failed(f"failed in the middle of the run: {problem}", remedy=remedy)
        return UsageError(problem, remedy=remedy)

    def failed(self, what: str, *, remedy: str = "") -> LabError:
        """The error for an observer that failed, whenever it did."""
        return LabError(f"the observer at {self.url} {what}", remedy=remedy)

    def stranger(self) -> str:
        """The problem, where something else answers."""
        return f"{URL}: what answers at {self.url} is another program than the observer"

    def _refused(self, method: str, path: str, answer: httpx.Response) -> NoTailCarError:
        said = _said(answer)
        match answer.status_code:
            case httpx.codes.UNAUTHORIZED:
                return self.wrong(f"{TOKEN}: the observer at {self.url} knows another token")
            case httpx.codes.FORBIDDEN:
                return self.wrong(
                    f"{URL}: {self.url} is refused: {said}", remedy=f"set {URL} to its https address"
                )
            case httpx.codes.NOT_FOUND:
                return self.wrong(
                    f"{URL}: no book is to be had at {self.url}: that observer has no token, or is none",
                    remedy=f"start the observer with a token file ({_README})",
                )
            case httpx.codes.CONFLICT:
                return self.failed("was started anew, and has forgotten what it saw")
        return self.wrong(f"{URL}: {self.url} answers {method} {path} with {answer.status_code}: {said}")


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{URL}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or port == 0:
        raise UsageError(f"{URL}: no observer's address; one looks like https://observer.example.com:8443")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(f"{URL}: an observer's address ends with its port, and has no path")
    return f"{parts.scheme}://{parts.netloc}"


def _checked(token: str) -> str:
    # Before it comes to a header, whose own error would show it.
    if not token:
        raise UsageError(f"{TOKEN}: empty", remedy="it is what stands in the observer's token file")
    if not _WRITTEN.fullmatch(token):
        raise UsageError(f"{TOKEN}: has characters that no token has", remedy="look for spaces and line ends")
    return token


def _trust(verify: ssl.SSLContext | str | bool) -> ssl.SSLContext | bool:
    if not isinstance(verify, str):
        return verify
    try:
        return ssl.create_default_context(cafile=verify)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"{CA}: no certificate can be read from {verify}: {error}") from error


def _said(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])[:200]
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
