"""The registry that official images are pulled from: Docker's own choice, or the mirror that is set."""

import ipaddress
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from harness.engine import Engine
from harness.errors import UsageError

SETTING = "NOTAILCAR_REGISTRY"
ANSWER_TIMEOUT = 3.0
"""Seconds in which a registry must answer to be there."""


def prefix() -> str:
    """The mirror as host:port/prefix, or nothing.

    Raises:
        UsageError: it is set to something else.
    """
    value = os.environ.get(SETTING, "").rstrip("/")
    if "://" in value or any(character.isspace() for character in value):
        raise UsageError(f"{SETTING}={value} is not host:port/prefix", remedy="leave the scheme out")
    return value


def pulled_name(official: str, mirror: str) -> str:
    """The reference to pull for an official one. A mirror keeps images without owner below `library`."""
    if not mirror:
        return official
    return f"{mirror}/{official}" if "/" in official else f"{mirror}/library/{official}"


def has_host(image: str) -> bool:
    """Whether a reference names its registry, as Docker tells that: by a dot, a port or localhost."""
    first, slash, _ = image.partition("/")
    return bool(slash) and (any(c in first for c in ".:") or first == "localhost")


@dataclass(frozen=True)
class Reach:
    """Whether a registry answered."""

    host: str
    answers: bool
    detail: str


def reach(engine: Engine, mirror: str) -> Reach:
    """Ask the registry that images would be pulled from whether it is there, for at most 3 seconds."""
    client = engine.client()
    try:
        info = client.info()
    finally:
        client.close()
    hosts = [mirror.partition("/")[0]] if mirror else _dockers_own(info)
    found = [_ask(host, _is_insecure(host, info)) for host in hosts]
    return next((answer for answer in found if answer.answers), found[-1])


def _dockers_own(info: dict[str, Any]) -> list[str]:
    mirrors = (info.get("RegistryConfig") or {}).get("Mirrors") or []
    return [urlsplit(url).netloc for url in (*mirrors, info.get("IndexServerAddress", "")) if url]


def _is_insecure(host: str, info: dict[str, Any]) -> bool:
    config = info.get("RegistryConfig") or {}
    if (config.get("IndexConfigs") or {}).get(host, {}).get("Secure") is False:
        return True
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    networks = [ipaddress.ip_network(text) for text in config.get("InsecureRegistryCIDRs") or []]
    return address.is_loopback or any(address in network for network in networks)


def _ask(host: str, insecure: bool) -> Reach:
    problem = ""
    for scheme in ("https", "http") if insecure else ("https",):
        try:
            answer = httpx.get(f"{scheme}://{host}/v2/", timeout=ANSWER_TIMEOUT)
        except httpx.HTTPError as error:
            problem = problem or str(error) or type(error).__name__
            continue
        # It may ask for a login first: then, too, it is there.
        if answer.status_code in {httpx.codes.OK, httpx.codes.UNAUTHORIZED}:
            return Reach(host, True, "answers")
        problem = f"answers {answer.status_code} at /v2/"
    return Reach(host, False, problem)
