"""scripts/runtime/validate.sh on a copy of the repository: it passes what is well, and names what is not."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.robustness.copies import Edit
from tests.toolkit.programs import REPOSITORY

pytestmark = pytest.mark.lab

_LOCK = "requirements-dev.lock"
_COPIED = (
    ".ci",
    ".github",
    "acl",
    "bench",
    "examples",
    "fixtures",
    "harness",
    "modules",
    "scripts",
    _LOCK,
    "pyproject.toml",
)


def _environment(copy: Path) -> None:
    """This environment as the copy's own: `.venv` with the stamp that environment.sh looks for."""
    venv = copy / ".venv"
    venv.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.name != "notailcar":
            (venv / entry.name).symlink_to(entry)
    content = (copy / _LOCK).read_bytes() + (copy / "pyproject.toml").read_bytes()
    (venv / "notailcar").write_text(f"{_LOCK} {hashlib.sha256(content).hexdigest()}  -\n")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in _COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    _environment(tmp_path)
    return tmp_path


def _validate(copy: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [copy / "scripts/runtime/validate.sh"],
        cwd="/",
        env=kept,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_repository_passes(copy: Path) -> None:
    done = _validate(copy)
    assert done.returncode == 0, done.stderr
    assert "checks passed" in done.stdout


JOB = "examples/egress-worker/egress-worker.nomad.hcl"
WRONG = {
    "a script that does not parse": (
        Edit("scripts/tailscale/sidecar.sh", "set -eu\n", "set -eu\nif\n"),
        "failed: sh -n scripts/tailscale/sidecar.sh",
    ),
    "a script that shellcheck warns of": (
        Edit("scripts/tailscale/sidecar.sh", "set -eu\n", "set -eu\necho $1\n"),
        "failed: shellcheck scripts/tailscale/sidecar.sh",
    ),
    "a policy with other blanks": (
        Edit("acl/example-nomad-policy.hcl", "  variables {", "      variables {"),
        "failed: nomad fmt -check -recursive acl/",
    ),
    "a job that is none": (
        Edit(JOB, 'type        = "batch"', 'type        = "bath"'),
        f"failed: nomad job validate -var-file=examples/egress-worker/vars/exit-b.hcl {JOB}",
    ),
    "a variable that no job has": (
        Edit("examples/egress-worker/vars/exit-b.hcl", "fallback_exit_nodes =", "fallback_exit_node  ="),
        f"failed: nomad job validate -var-file=examples/egress-worker/vars/exit-b.hcl {JOB}",
    ),
    "a workflow that waits for no job": (
        Edit(".github/workflows/merge.yml", "  egress:\n", "  egress:\n    needs: quiet\n"),
        "failed: actionlint .github/workflows",
    ),
    "a script of a workflow that shellcheck warns of": (
        Edit(".github/workflows/release.yml", "|| [ $? -eq 1 ]", "|| [ $? -eq $1 ]"),
        "failed: actionlint .github/workflows",
    ),
}


@pytest.mark.parametrize(("edit", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(copy: Path, edit: Edit, said: str) -> None:
    if "actionlint" in said and shutil.which("go") is None:
        pytest.skip("there is no Go to make actionlint")
    edit.make(copy / edit.file)
    done = _validate(copy)
    assert done.returncode == 1
    assert said in done.stderr
