"""A policy as an older headscale reads it: the same rules, without the sections that it does not know."""

import re

from harness.lab.headscale_policy import for_version
from harness.run import places

SHIPPED = (places.data("acl") / "example-tailscale-acl.json").read_text(encoding="utf-8")


def sections(policy: str) -> list[str]:
    return re.findall(r'^  "(\w+)":', policy, re.MULTILINE)


def test_the_default_and_other_versions_that_know_all_of_it_read_it_as_it_is() -> None:
    assert for_version(SHIPPED, "") == SHIPPED
    assert for_version(SHIPPED, "0.29.0") == SHIPPED


def test_an_older_one_reads_the_same_rules_without_what_it_does_not_know() -> None:
    assert {"nodeAttrs", "tests"} < set(sections(SHIPPED))
    older = for_version(SHIPPED, "0.28.0")
    assert sections(older) == [s for s in sections(SHIPPED) if s not in {"nodeAttrs", "tests"}]
    # The lines that are left are the same ones, in their order.
    left = iter(SHIPPED.splitlines())
    assert all(line in left for line in older.splitlines())
    assert older.count("{") == older.count("}")
    assert older.count("[") == older.count("]")
