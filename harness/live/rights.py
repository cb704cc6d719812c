"""What a Nomad token may do, by its policies, against what a live run needs. Pure.

Nothing is tried out for it: a right that is missing is known before anything has been made. Sources: Nomad's
acl package (policy.go: the capabilities that a coarse `policy` stands for are written out in RulesJSON) and
https://developer.hashicorp.com/nomad/docs/concepts/acl.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

JOBS = "notailcar-"
"""Begins the id of every job that a live run makes."""
VARIABLES = f"nomad/jobs/{JOBS}"
"""Begins the path of every Nomad Variable that it makes."""

NAMESPACE_RIGHTS = ("list-jobs", "read-job", "submit-job", "alloc-exec", "read-logs")
VARIABLE_RIGHTS = ("list", "read", "write", "destroy")
_DENY = "deny"


@dataclass(frozen=True)
class Token:
    """A token as /v1/acl/token/self describes it, with the rules of its policies as JSON."""

    management: bool
    rules: tuple[Mapping[str, Any], ...] = ()


def missing(token: Token, namespace: str) -> list[str]:
    """What the token lacks of what a run needs in this namespace, in Nomad's own words."""
    if token.management:
        return []
    allowed = _of_namespace(token.rules, namespace)
    lacking = [right for right in NAMESPACE_RIGHTS if right not in allowed]
    variables = _of_variables(token.rules, namespace)
    lacking += [f"{right} of variables {VARIABLES}*" for right in VARIABLE_RIGHTS if right not in variables]
    if not any(_coarse(rules, "Node") in ("read", "write") for rules in token.rules):
        lacking.append('node { policy = "read" }')
    return lacking


def _coarse(rules: Mapping[str, Any], part: str) -> str:
    return str((rules.get(part) or {}).get("Policy") or "")


def _namespaces(rules: Mapping[str, Any], namespace: str) -> Mapping[str, Any]:
    """The rule for a namespace: that of its name, else of the pattern that fits it best (nomad, acl.go)."""
    found = {str(rule["Name"]): rule for rule in rules.get("Namespaces") or ()}
    if namespace in found:
        exact: Mapping[str, Any] = found[namespace]
        return exact
    fitting = [name for name in found if "*" in name and fnmatchcase(namespace, name)]
    if not fitting:
        return {}
    # Fewest characters that the pattern leaves open.
    best: Mapping[str, Any] = found[min(fitting, key=lambda n: len(namespace) - len(n.replace("*", "")))]
    return best


def _of_namespace(policies: Iterable[Mapping[str, Any]], namespace: str) -> set[str]:
    allowed: set[str] = set()
    for rules in policies:
        found = set(_namespaces(rules, namespace).get("Capabilities") or ())
        if _DENY in found:
            return set()
        allowed |= found
    return allowed


def _of_variables(policies: Iterable[Mapping[str, Any]], namespace: str) -> set[str]:
    """What is allowed for every path that begins with ours; a rule for some of them is not enough."""
    allowed: set[str] = set()
    for rules in policies:
        variables = _namespaces(rules, namespace).get("Variables") or {}
        for rule in variables.get("Paths") or ():
            pattern = str(rule["PathSpec"])
            whole = pattern.endswith("*") and "*" not in pattern[:-1]
            if whole and VARIABLES.startswith(pattern[:-1]):
                found = set(rule.get("Capabilities") or ())
                if _DENY in found:
                    return set()
                # Who may read may list (nomad, acl/policy.go, expandVariablesCapabilities).
                allowed |= found | ({"list"} if "read" in found else set())
    return allowed
