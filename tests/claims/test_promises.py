"""From smoke.toml and topology to what claims are judged against."""

from pathlib import Path

import pytest

from harness.assembly import default_topology
from harness.claims.promises import exits, expectation_of
from harness.claims.verdict import HostAddresses
from harness.errors import UsageError
from harness.job.example import EgressPromise, Example, ServePromise, Smoke
from harness.job.rendering import Rendered
from harness.lab import topology_file

SHIPPED = topology_file.load(default_topology())
RENDERED = Rendered({"ID": "mine"}, frozenset({"tailscale"}), frozenset({"guard"}), frozenset({"worker"}))
EXIT_A = HostAddresses("exit-a", frozenset({"198.51.100.20", "2001:db8:20::20"}))


def example(smoke: Smoke) -> Example:
    return Example("mine", Path("examples/mine"), Path("examples/mine/mine.nomad.hcl"), smoke)


EGRESS = example(Smoke("egress", ("tag:a", "tag:b"), egress=EgressPromise(("exit-a",), ("exit-b",))))


def test_an_egress_example() -> None:
    expectation = expectation_of(EGRESS, RENDERED, SHIPPED)
    assert expectation.subject == "mine"
    assert expectation.tags == {"tag:a", "tag:b"}
    assert expectation.via == (EXIT_A,)
    assert [h.name for h in expectation.fallback] == ["exit-b"]
    assert expectation.node.addresses == {"203.0.113.10", "10.20.0.10", "2001:db8:113::10"}
    assert expectation.infrastructure_names == {"headscale.lab.test"}
    assert expectation.sidecars == {"tailscale"}
    assert expectation.guards == {"guard"}
    assert expectation.workers == {"worker"}


def test_every_host_can_be_named_the_router_too() -> None:
    expectation = expectation_of(EGRESS, RENDERED, SHIPPED)
    assert {h.name for h in expectation.hosts} == {"internet", *(h.name for h in SHIPPED.hosts)}
    assert expectation.host_of("198.51.100.53") == expectation.host_of("2001:db8:53::53") == "internet"
    assert expectation.host_of("10.20.0.11") == "neighbour"
    assert expectation.host_of("192.0.2.1") == "192.0.2.1"


def test_an_example_without_egress_has_no_exits() -> None:
    serve = example(Smoke("serve", serve=(ServePromise(url="http://{host}/"),)))
    expectation = expectation_of(serve, RENDERED, SHIPPED)
    assert (expectation.via, expectation.fallback) == ((), ())


@pytest.mark.parametrize("name", ["exit-z", "client", "internet", ""])
def test_what_is_no_exit_is_named_with_those_there_are(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        exits(EGRESS, [name], SHIPPED)
    assert f"names the exit {name}," in caught.value.problem
    assert "examples/mine/smoke.toml" in caught.value.problem
    assert "exit-a, exit-b" in caught.value.remedy
