"""A host's files and variables, in the harness's own engine and in one that may be elsewhere."""

from dataclasses import replace

import pytest

from harness.assembly import engine_of
from harness.lab.running_host import FILES, File, HostPlan, RunningHost
from harness.report.progress import Progress
from harness.run.run import Run
from harness.supply.supply import Supply

pytestmark = pytest.mark.lab

FOLDER = (
    File("program.sh", b"#!/bin/sh\necho ran\n", 0o755),
    File("below/secret", b"only root's\n", 0o600),
)


@pytest.mark.parametrize("own", [True, False], ids=["own engine", "any engine"])
def test_a_host_has_its_files_before_it_starts(own: bool) -> None:
    with Progress() as progress, Run() as run, engine_of(run, progress) as engine:
        image = Supply(engine, run, progress).ensure(["host"])["host"]
        # The first process is one of them, so that a file which came later would be none.
        command = ("sh", "-c", f"{FILES}/program.sh; exec sleep infinity")
        plan = HostPlan(
            "filed",
            image.reference,
            command,
            files=FOLDER,
            options={"network_mode": "none", "entrypoint": []},
        )
        client = engine.client()
        try:
            with RunningHost(client, replace(engine, own=own), plan, run) as host:
                assert host.run(f"{FILES}/program.sh").expect().stdout == "ran\n"
                assert host.run("cat", f"{FILES}/below/secret").expect().stdout == "only root's\n"
                modes = host.run("stat", "-c", "%a %U", f"{FILES}/program.sh", f"{FILES}/below/secret")
                assert modes.expect().stdout.split("\n") == ["755 root", "600 root", ""]
                assert host.log() == "ran\n"
                assert host.run("printenv", "NOTAILCAR_HOST", "GOGC").expect().stdout == "filed\n800\n"
        finally:
            client.close()
