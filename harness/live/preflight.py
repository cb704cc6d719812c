"""Finds out, before anything is made, whether the settings are right: at once, each fault by its setting."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx

from harness.errors import LabError, UsageError
from harness.live import rights
from harness.live.observer import ObserverClient
from harness.live.reaching import why_unreachable
from harness.live.rights import Token
from harness.live.settings import LiveSettings
from harness.live.tailnet import Tailnet
from harness.management.nomad import NomadClient

_NO_ACL = "ACL support disabled"


def check(
    settings: LiveSettings, nomad: NomadClient, tailnet: Tailnet, observer: ObserverClient | None
) -> None:
    """Ask each server once, side by side. Raises UsageError naming the setting, or LabError."""
    with ThreadPoolExecutor(3, thread_name_prefix="preflight") as pool:
        asked: list[Future[object]] = [
            pool.submit(check_nomad, settings, nomad),
            pool.submit(tailnet.check, settings),
        ]
        if observer:
            asked.append(pool.submit(observer.about))
        # The first setting of env.template that is wrong is the one that is told of.
        for each in asked:
            each.result()


def check_nomad(settings: LiveSettings, nomad: NomadClient) -> None:
    """Ask the cluster who we are, and hold that against what a run needs. Raises UsageError, LabError."""
    try:
        answer = nomad.own_token()
    except httpx.TransportError as error:
        raise why_unreachable(error, address="NOMAD_ADDR", ca="NOMAD_CACERT") from error
    said = answer.text.strip()[:200]
    if _NO_ACL not in said:
        if answer.status_code in (httpx.codes.BAD_REQUEST, httpx.codes.NOT_FOUND):
            # A server that speaks TLS says 400 to one who does not.
            raise UsageError(
                f"NOMAD_ADDR: no Nomad answers there, or only by https ({answer.status_code}): {said}"
            )
        if answer.is_client_error:
            raise UsageError(
                f"NOMAD_TOKEN: {'not set, and' if not settings.nomad.token else 'not taken:'} "
                f"the cluster says {answer.status_code}: {said}"
            )
        if answer.is_error:
            raise LabError(f"NOMAD_ADDR: Nomad answers {answer.status_code}: {said}")
        lacking = rights.missing(_token(nomad, answer.json()), settings.nomad.namespace)
        if lacking:
            raise UsageError(
                f"NOMAD_TOKEN: lacks rights in namespace {settings.nomad.namespace}: {', '.join(lacking)}",
                remedy="fixtures/live/nomad-policy.hcl is a policy that has them",
            )
    _check_namespace(settings, nomad)


def _check_namespace(settings: LiveSettings, nomad: NomadClient) -> None:
    try:
        nomad.namespace(settings.nomad.namespace)
    except LabError as error:
        raise UsageError(f"NOMAD_NAMESPACE: there is no namespace {settings.nomad.namespace}") from error


def _token(nomad: NomadClient, data: dict[str, Any]) -> Token:
    """A token with the rules of its policies, and of those that its roles give it."""
    if data.get("Type") == "management":
        return Token(management=True)
    names = list(data.get("Policies") or ())
    for role in data.get("Roles") or ():
        names += [p["Name"] for p in nomad.role(role["ID"]).get("Policies") or ()]
    return Token(
        management=False, rules=tuple(nomad.policy(n).get("RulesJSON") or {} for n in dict.fromkeys(names))
    )
