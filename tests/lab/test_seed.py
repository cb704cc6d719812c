"""The seed's name: the same for the same content, another for any other."""

from hypothesis import given
from hypothesis import strategies as st

from harness.lab.offering import Offered
from harness.lab.seed import name_of

OFFERED = st.builds(
    Offered, st.sampled_from(["python:3.13-slim", "tailscale/tailscale:v1"]), st.sampled_from(["a:1", "b:2"])
)
IMAGES = st.lists(OFFERED, max_size=3, unique_by=lambda o: o.official)
NODE = st.sampled_from(["node:1", "node:2"])


@given(images=IMAGES, node=NODE)
def test_order_does_not_matter(images: list[Offered], node: str) -> None:
    assert name_of(images, node) == name_of(images[::-1], node)


@given(images=IMAGES, node=NODE, others=IMAGES, other_node=NODE)
def test_content_does(images: list[Offered], node: str, others: list[Offered], other_node: str) -> None:
    same = set(images) == set(others) and node == other_node
    assert (name_of(images, node) == name_of(others, other_node)) == same


def test_it_is_a_volumes_name() -> None:
    assert name_of([], "node:1").removeprefix("notailcar-seed-").isalnum()
