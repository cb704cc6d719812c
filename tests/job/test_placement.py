"""What a job asks for that the lab's node does not have."""

import pytest

from harness.job.placement import Obstacle, obstacles
from harness.job.rendering import by_lifecycle
from tests.job.jobs import job, task

TEXT = """job "mine" {
  datacenters = ["eu"]
  node_pool   = "gpu"
  region      = "west"
  group "mine" {
    network {
      mode = "bridge"
    }
  }
}
"""


def found(**asked: object) -> list[Obstacle]:
    return list(obstacles(by_lifecycle({**job(task("t")), **asked}), TEXT))


@pytest.mark.parametrize("centers", [None, [], ["dc1"], ["*"], ["eu", "dc*"]])
def test_a_datacenter_that_is_there(centers: list[str] | None) -> None:
    assert found(Datacenters=centers) == []


def test_one_that_is_not() -> None:
    (obstacle,) = found(Datacenters=["eu", "us"])
    assert (obstacle.line, obstacle.asked, obstacle.instead) == (2, "eu,us", "dc1")
    assert obstacle.what == "the datacenter eu, us"


@pytest.mark.parametrize(
    ("key", "value", "line", "instead"), [("NodePool", "gpu", 3, "default"), ("Region", "west", 4, "global")]
)
def test_a_pool_and_a_region(key: str, value: str, line: int, instead: str) -> None:
    (obstacle,) = found(**{key: value})
    assert (obstacle.line, obstacle.asked, obstacle.instead) == (line, value, instead)
    assert found(**{key: instead}) == []


def test_a_network_that_needs_plugins() -> None:
    asked = job(task("t"), Networks=[{"Mode": "bridge"}])
    (obstacle,) = obstacles(by_lifecycle(asked), TEXT)
    assert obstacle.line == 7
    assert "CNI" in obstacle.what
    assert obstacle.remedy
    assert (
        list(obstacles(by_lifecycle(job(task("t"), Networks=[{"Mode": ""}, {"Mode": "host"}])), TEXT)) == []
    )
