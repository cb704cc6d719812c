"""Which scenarios go to one worker of xdist together."""

import os
from pathlib import Path

import pytest

from harness.plugin import scenario_run
from harness.plugin.scheduling import ByExample

REPOSITORY = Path(__file__).parents[2]


def shared_with(request: pytest.FixtureRequest, folder: Path, *ids: str) -> list[str]:
    """What the scenarios of these ids are shared out as."""
    config = request.config
    before = (config.option.tx, config.option.examples)
    config.option.tx, config.option.examples = ["2*popen"], str(folder)
    try:
        scheduler = ByExample(config)
    finally:
        config.option.tx, config.option.examples = before
    return [scheduler._split_scope(each) for each in ids]


def test_the_claims_of_an_example_go_together(request: pytest.FixtureRequest) -> None:
    ids = (
        "scenarios/test_egress.py::test_egress_dns[egress-worker]",
        "scenarios/test_ports.py::test_ports_none_public[egress-worker]",
        "scenarios/test_egress.py::test_egress_dns[agent-worker-egress]",
    )
    first, second, other = shared_with(request, REPOSITORY / "examples", *ids)
    assert first == second == "egress-worker"
    assert other == "agent-worker-egress"


def test_the_examples_of_the_second_control_server_go_together(request: pytest.FixtureRequest) -> None:
    ids = (
        "scenarios/test_serve.py::test_serve_reachable[private-dashboard]",
        "scenarios/test_serve.py::test_serve_private[private-serve-config]",
    )
    assert len(set(shared_with(request, REPOSITORY / "examples", *ids))) == 1


def test_a_folder_that_cannot_be_read_is_left_to_the_workers(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    assert shared_with(request, tmp_path / "none", "test_x.py::test_x[one]") == ["one"]


@pytest.mark.parametrize(("cores", "workers"), [(1, 2), (2, 3), (4, 5), (64, 8)])
def test_auto_is_a_worker_more_than_there_are_cores(
    cores: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert scenario_run.pytest_xdist_auto_num_workers() == workers
