"""An engine and one host in it, for the tests that need a real one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.assembly import engine_of
from harness.lab.running_host import FILES, File, HostPlan, RunningHost
from harness.management.waiting import wait_until
from harness.report.progress import Progress
from harness.run.run import Run
from harness.supply.supply import Supply

PORT = "8000"


@pytest.fixture(scope="session")
def host() -> Iterator[RunningHost]:
    """A container with a web server on its loopback, and no network."""
    server = (Path(__file__).parent / "server.py").read_bytes()
    with Progress() as progress, Run() as run, engine_of(run, progress) as engine:
        image = Supply(engine, run, progress).ensure(["host"])["host"]
        plan = HostPlan(
            name="alone",
            image=image.reference,
            command=("python3", f"{FILES}/server.py", PORT),
            files=(File("server.py", server),),
            options={"network_mode": "none", "entrypoint": []},
        )
        client = engine.client()
        try:
            with RunningHost(client, engine, plan, run) as running:
                wait_until(
                    lambda: "listening" in running.log(),
                    seconds=10,
                    what="the server listens",
                    tail=running.log,
                )
                yield running
        finally:
            client.close()
