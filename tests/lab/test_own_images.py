"""A job whose image only the engine has runs in the lab; one whose image is nowhere ends before a lab is."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.assembly import default_topology, ready_lab
from harness.claims.catalogue import CLAIMS
from harness.claims.verdict import Outcome
from harness.engine import find_engine
from harness.errors import EXIT_USAGE
from harness.job.example import Example, load
from harness.ledger.ledger import Ledger
from harness.plugin.executions import Executions
from harness.probes.stage import Stage
from harness.report.progress import Progress
from harness.run import places
from harness.run.run import Run
from harness.supply import PlainProgress, Supply
from tests.supply.test_own_images import image

pytestmark = pytest.mark.lab

EXAMPLE = places.data("examples") / "egress-worker"
MINE = "mine/worker:3.13"
TOOLS = "mine/tools:1"
EXIT = "mine/exit:1"


@pytest.fixture
def copy() -> Iterator[Path]:
    """The egress worker with a worker's image of its own; below the repository, as its files are there."""
    with tempfile.TemporaryDirectory(dir=EXAMPLE.parents[1], prefix=".own-") as made:
        folder = Path(made) / "mine"
        folder.mkdir()
        text = (EXAMPLE / "smoke.toml").read_text(encoding="utf-8")
        (folder / "smoke.toml").write_text(f'{text}worker_image = "{MINE}"\n', encoding="utf-8")
        job = EXAMPLE / "egress-worker.nomad.hcl"
        (folder / "mine.nomad.hcl").write_text(job.read_text(encoding="utf-8"), encoding="utf-8")
        (folder / "vars").symlink_to(EXAMPLE / "vars")
        yield folder


def test_those_that_only_the_engine_has(copy: Path, tmp_path: Path) -> None:
    """One that the job names, one that the topology offers besides, and one that a host is started from."""
    example: Example = load(copy)
    topology = tmp_path / "mine.toml"
    shipped = default_topology().read_text(encoding="utf-8")
    own = shipped.replace('name = "exit-b"\n', f'name = "exit-b"\nimage = "{EXIT}"\n')
    topology.write_text(f'images = ["{TOOLS}"]\n{own}', encoding="utf-8")
    with Progress() as progress, Run() as run, find_engine(run, progress.note) as engine:
        made = Supply(engine, run, PlainProgress(progress.note)).ensure(["example-python", "member"])
        client = engine.client()
        with (
            image(client, MINE, base=made["example-python"].reference),
            image(client, TOOLS),
            image(client, EXIT, base=made["member"].reference),
            ready_lab(topology, run, progress, examples=[example]) as ready,
            Ledger(tmp_path / "ledger.jsonl") as ledger,
        ):
            assert ready.origins[MINE] == engine.describe()
            ready.lab.node.host.run("docker", "image", "inspect", TOOLS).expect()
            assert ready.lab.host("exit-b").run("cat", "/word").expect().stdout == EXIT
            executions = Executions(Stage(ready.lab, run, ledger, progress, ready.nomad))
            claim = next(c for c in CLAIMS if c.id == "egress.address")
            verdict = executions.judge(claim, example).verdict
            assert verdict.outcome is Outcome.PROVEN, verdict.reason
        client.close()


def test_one_that_is_nowhere(copy: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--examples", str(copy)],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_USAGE, done.stdout
    assert f"{copy / 'mine.nomad.hcl'}:" in done.stdout
    assert f"task worker: {MINE}" in done.stdout
    assert "neither in the engine" in done.stdout
    # Nothing was brought up for it.
    assert "joins the tailnet" not in done.stdout
