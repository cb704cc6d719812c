"""scripts/runtime/nightly.sh: what it refuses, and what it says of a night that went wrong."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def nightly(reports: Path, *steps: str, **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
    if (Path(sys.prefix) / "notailcar").exists():
        settings["NOTAILCAR_VENV"] = sys.prefix
    return subprocess.run(
        [ROOT / "scripts/runtime/nightly.sh", *steps],
        cwd="/",
        env={**kept, "NOTAILCAR_REPORTS": str(reports), **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_a_step_that_is_none(tmp_path: Path) -> None:
    done = nightly(tmp_path / "reports", "scenarios", "dreams")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "nightly.sh: there is no step dreams (see --help)\n"
    assert not (tmp_path / "reports").exists()


def test_the_one_before_is_not_disturbed(tmp_path: Path) -> None:
    with (ROOT / ".nightly.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = nightly(tmp_path / "reports")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "nightly.sh: the one before is still at work\n"
    assert not (tmp_path / "reports").exists()


@pytest.mark.lab
def test_a_step_that_cannot_run_says_how_it_ended_and_nothing_is_decided(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    done = nightly(reports, "scenarios", NIGHTLY_WORKERS="none")
    assert (done.returncode, done.stdout) == (2, "")
    log = reports / "nightly" / "scenarios.log"
    assert f"nightly.sh: scenarios: exit code 2; all of it is in {log}" in done.stderr
    assert "argument -n/--numprocesses" in done.stderr
    assert "argument -n/--numprocesses" in log.read_text(encoding="utf-8")
    assert not (reports / "gate.xml").exists()


@pytest.mark.lab
def test_what_a_run_refuses_to_prove_is_the_gates_to_say(tmp_path: Path) -> None:
    # One claim proven, and a policy that asks for more, and for what no run has.
    policy = tmp_path / "gate.toml"
    policy.write_text(f'folder = "{ROOT}/examples"\ncommit = "any"\n[versions]\nnomad = "0.1"\n', "utf-8")
    reports = tmp_path / "reports"
    chosen = "-k 'identity_tagged and private-http-service'"
    settings = {"NIGHTLY_GATE": str(policy), "NIGHTLY_WORKERS": "1", "PYTEST_ADDOPTS": chosen}
    done = nightly(reports, "scenarios", **settings)
    assert (done.returncode, done.stdout) == (1, "")
    said = " ".join(done.stderr.split())
    assert "the policy asks for 0.1" in said
    assert "this run has no verdict on it" in said
    assert "refused  reports" not in done.stderr, "what a worker of xdist leaves is as it was sealed"
    assert (reports / "gate.xml").is_file()
