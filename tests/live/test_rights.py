"""What a token may do, by rules as a real Nomad gives them."""

from typing import Any

import pytest

from harness.live.rights import NAMESPACE_RIGHTS, VARIABLE_RIGHTS, Token, missing

FULL: dict[str, Any] = {
    "Namespaces": [
        {
            "Name": "default",
            "Capabilities": [*NAMESPACE_RIGHTS],
            "Variables": {
                "Paths": [{"PathSpec": "nomad/jobs/notailcar-*", "Capabilities": [*VARIABLE_RIGHTS]}]
            },
        }
    ],
    "Node": {"Policy": "read"},
}


def rules(**changed: object) -> dict[str, Any]:
    (namespace,) = FULL["Namespaces"]
    return {**FULL, "Namespaces": [{**namespace, **changed}]}


def test_all_of_it() -> None:
    assert missing(Token(management=False, rules=(FULL,)), "default") == []


def test_management_may_all() -> None:
    assert missing(Token(management=True), "any") == []


def test_nothing() -> None:
    lacking = missing(Token(management=False), "default")
    assert len(lacking) == len(NAMESPACE_RIGHTS) + len(VARIABLE_RIGHTS) + 1


@pytest.mark.parametrize("right", NAMESPACE_RIGHTS)
def test_each_right_is_missed(right: str) -> None:
    without = rules(Capabilities=[r for r in NAMESPACE_RIGHTS if r != right])
    assert missing(Token(management=False, rules=(without,)), "default") == [right]


@pytest.mark.parametrize("right", ["write", "destroy", "read"])
def test_each_right_of_variables_is_missed(right: str) -> None:
    kept = [r for r in VARIABLE_RIGHTS if r != right]
    without = rules(Variables={"Paths": [{"PathSpec": "*", "Capabilities": kept}]})
    assert missing(Token(management=False, rules=(without,)), "default") == [
        f"{right} of variables nomad/jobs/notailcar-*"
    ]


def test_who_may_read_variables_may_list_them() -> None:
    paths = [{"PathSpec": "nomad/*", "Capabilities": ["read", "write", "destroy"]}]
    assert missing(Token(management=False, rules=(rules(Variables={"Paths": paths}),)), "default") == []


def test_a_rule_for_some_of_our_paths_is_not_enough() -> None:
    paths = [{"PathSpec": "nomad/jobs/notailcar-2026*", "Capabilities": [*VARIABLE_RIGHTS]}]
    lacking = missing(Token(management=False, rules=(rules(Variables={"Paths": paths}),)), "default")
    assert len(lacking) == len(VARIABLE_RIGHTS)


def test_another_namespace_does_not_help() -> None:
    assert missing(Token(management=False, rules=(FULL,)), "other")


@pytest.mark.parametrize(("pattern", "fits"), [("*", True), ("def*", True), ("prod*", False)])
def test_a_pattern_of_namespaces(pattern: str, fits: bool) -> None:
    assert (missing(Token(management=False, rules=(rules(Name=pattern),)), "default") == []) is fits


def test_policies_add_up_and_deny_takes_all() -> None:
    jobs = rules(Variables=None)
    variables = rules(Capabilities=[])
    assert missing(Token(management=False, rules=(jobs, variables)), "default") == []
    denied = rules(Capabilities=["deny"])
    assert set(NAMESPACE_RIGHTS) <= set(missing(Token(management=False, rules=(FULL, denied)), "default"))


def test_no_reading_of_nodes() -> None:
    assert missing(Token(management=False, rules=({**FULL, "Node": None},)), "default") == [
        'node { policy = "read" }'
    ]
