"""An engine of the harness's own, in a cache of the test's own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.engine import stop_if_unused

HOLD = """
import sys
from harness.engine import find_engine
from harness.run.run import Run
with Run() as run, find_engine(run, lambda line: None) as engine:
    print(engine.base_url, flush=True)
    sys.stdin.read()
"""

Holder = subprocess.Popen[str]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("an own engine needs root")
    folder = tmp_path / "cache"
    monkeypatch.setenv("NOTAILCAR_CACHE", str(folder))
    monkeypatch.setenv("NOTAILCAR_ENGINE", "own")
    yield folder
    stop_if_unused(lambda _: None)


@pytest.fixture
def hold(cache: Path) -> Iterator[Callable[[], tuple[Holder, str]]]:
    """Start another process that holds the own engine until its input closes; give it and the URL."""
    holders: list[Holder] = []

    def start() -> tuple[Holder, str]:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NOTAILCAR_CACHE": str(cache)},
        )
        holders.append(holder)
        assert holder.stdout is not None
        return holder, holder.stdout.readline().strip()

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()
