"""Bad input: within seconds, one clear error that names the file, the line or the key and what to do."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.errors import EXIT_LAB, EXIT_USAGE
from tests.robustness.commands import PROGRAMS, REPOSITORY, Command
from tests.robustness.conftest import Start
from tests.robustness.copies import Edit, copy

SECONDS = 15
"""On a machine that is busy with other things; alone it takes one."""
NOBODY = "65534"
TOPOLOGY = REPOSITORY / "fixtures" / "topology.toml"


@dataclass(frozen=True)
class Wrong:
    """An edit of an example's smoke.toml that makes it wrong, and what the error says."""

    old: str
    new: str
    says: tuple[str, ...]


WRONG_SMOKES = {
    "unknown-key": Wrong(
        'kind = "egress"\n',
        'kind = "egress"\nknid = "serve"\n',
        ("smoke.toml", "line 2", "knid", "README.md"),
    ),
    "unknown-key-in-egress": Wrong('via = ["exit-a"]', 'vai = ["exit-a"]', ("smoke.toml", "line 6", "vai")),
    "not-toml": Wrong('kind = "egress"', 'kind = "egress', ("smoke.toml", "not valid TOML", "line 1")),
    "unknown-kind": Wrong('kind = "egress"', 'kind = "ergess"', ("smoke.toml", "'ergess'", "egress, serve")),
    "unknown-exit": Wrong(
        'via = ["exit-a"]', 'via = ["exit-c"]', ("smoke.toml", "[egress]", "exit-c", "exit-a, exit-b")
    ),
    "missing-var-file": Wrong(
        "vars/exit-a.hcl", "vars/exit-z.hcl", ("smoke.toml", "var_files", "vars/exit-z.hcl")
    ),
    "unknown-placeholder": Wrong(
        '"{check_url}"', '"{chek_url}"', ("smoke.toml", "[vars] check_url", "{chek_url}", "{check_url}")
    ),
    "exit-in-placeholder": Wrong(
        "{egress:exit-a},", "{egress:exit-c},", ("smoke.toml", "expected_egress", "{egress:exit-c}")
    ),
}

WRONG_TOPOLOGIES = {
    "address-twice": Wrong(
        'v4 = ["198.51.100.31"]',
        'v4 = ["198.51.100.30"]',
        ("198.51.100.30", "used twice", "client", "stranger"),
    ),
    "address-of-another-family-twice": Wrong(
        'v6 = ["2001:db8:31::31"]',
        'v6 = ["2001:db8:30:0::30"]',
        ("2001:db8:30::30", "used twice", "stranger"),
    ),
    "port-twice": Wrong(
        '"https:443/tcp", "tcp:7/tcp"',
        '"https:80/tcp", "tcp:7/tcp"',
        ("host.echo.listens", "80/tcp", "2 times"),
    ),
    "unknown-key": Wrong('role = "echo"', 'role = "echo"\nrules = 1', ("rules",)),
    "no-address": Wrong('v4 = ["198.18.9.9"]', 'v4 = ["198.18.9.999"]', ("198.18.9.999", "v4")),
    "not-toml": Wrong('name = "lab"', "name = lab", ("not valid TOML", "line")),
}


def refused(run: Command, code: int, *says: str) -> None:
    """It ends within seconds, before any lab, with this exit code, having said all this."""
    began = time.monotonic()
    assert run.wait() == code, run.output
    assert time.monotonic() - began < SECONDS
    for part in says:
        assert part in run.output
    assert "Traceback" not in run.output
    assert "INTERNALERROR" not in run.output
    assert "router" not in run.output, "a lab was booted for it"
    assert not (run.reports / "claims.json").exists()


@pytest.mark.parametrize("wrong", WRONG_SMOKES.values(), ids=WRONG_SMOKES.keys())
def test_a_wrong_smoke_file(tmp_path: Path, scenarios: Start, wrong: Wrong) -> None:
    copy(tmp_path, "mine", Edit("smoke.toml", wrong.old, wrong.new))
    run = scenarios("--examples", str(tmp_path / "examples"))
    refused(run, EXIT_USAGE, str(tmp_path / "examples" / "mine"), *wrong.says)


@pytest.mark.parametrize("wrong", WRONG_TOPOLOGIES.values(), ids=WRONG_TOPOLOGIES.keys())
def test_a_wrong_topology(tmp_path: Path, scenarios: Start, wrong: Wrong) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(TOPOLOGY.read_text())
    Edit("mine.toml", wrong.old, wrong.new).make(file)
    run = scenarios("--topology", str(file))
    refused(run, EXIT_USAGE, str(file), *wrong.says)


def without_a_job(folder: Path) -> None:
    (folder / "egress-worker.nomad.hcl").unlink()


def with_two_jobs(folder: Path) -> None:
    (folder / "other.nomad.hcl").write_text("")


def without_its_script(folder: Path) -> None:
    (folder.parents[1] / "scripts" / "tailscale" / "sidecar.sh").unlink()


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (without_a_job, ("exactly one *.nomad.hcl", "here: none")),
        (with_two_jobs, ("exactly one *.nomad.hcl", "other.nomad.hcl")),
        (
            without_its_script,
            ("egress-worker.nomad.hcl", "scripts/tailscale/sidecar.sh", "file() paths start"),
        ),
    ],
)
def test_an_example_with_files_that_do_not_fit(
    tmp_path: Path, scenarios: Start, harm: Callable[[Path], None], says: tuple[str, ...]
) -> None:
    harm(copy(tmp_path, "mine"))
    run = scenarios("--examples", str(tmp_path / "examples"))
    refused(run, EXIT_USAGE, str(tmp_path / "examples" / "mine"), *says)


def test_no_folder_of_examples(tmp_path: Path, scenarios: Start) -> None:
    nowhere = tmp_path / "nowhere"
    run = scenarios("--examples", str(nowhere))
    refused(run, EXIT_USAGE, f"{nowhere}: there is no such folder of examples", "--examples PATH")


def test_an_empty_folder_of_examples(tmp_path: Path, scenarios: Start) -> None:
    (tmp_path / "empty").mkdir()
    run = scenarios("--examples", str(tmp_path / "empty"))
    refused(run, EXIT_USAGE, f"{tmp_path / 'empty'}: no example here", "smoke.toml")


def test_no_topology_file(tmp_path: Path, scenarios: Start) -> None:
    run = scenarios("--topology", str(tmp_path / "none.toml"))
    refused(run, EXIT_USAGE, f"{tmp_path / 'none.toml'}: there is no such topology file")


def test_nothing_selected_proves_nothing(scenarios: Start) -> None:
    run = scenarios("-k", "nothing")
    refused(run, EXIT_USAGE, "No scenario was selected, so nothing is proven.", "egress-worker")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("notailcar", "up", "--topology", "none.toml"), "none.toml: there is no such topology file"),
        (("notailcar", "upp"), "upp"),
        (("notailcar", "gc", "--everything"), "--everything"),
    ],
)
def test_a_wrong_command(start: Start, argv: tuple[str, ...], says: str) -> None:
    refused(start(*argv), EXIT_USAGE, says)


@pytest.mark.parametrize(
    ("setting", "argv"),
    [
        ("NOTAILCAR_REPORTS", ("pytest", "scenarios")),
        ("NOTAILCAR_CACHE", ("pytest", "scenarios")),
        ("NOTAILCAR_CACHE", ("notailcar", "up")),
        ("NOTAILCAR_CACHE", ("notailcar", "gc")),
    ],
)
def test_a_folder_that_cannot_be_written_to(tmp_path: Path, setting: str, argv: tuple[str, ...]) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    environment = {"NOTAILCAR_REPORTS": str(tmp_path / "reports"), setting: str(in_the_way / "folder")}
    said = subprocess.run(
        [PROGRAMS / argv[0], *argv[1:]],
        cwd=REPOSITORY,
        env={**{n: v for n, v in os.environ.items() if not n.startswith("PYTEST_")}, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    told = said.stdout + said.stderr
    assert said.returncode == EXIT_USAGE, told
    assert f"{in_the_way}/folder" in told
    assert f"-> set {setting} to" in told
    assert "Traceback" not in told


@pytest.fixture
def nobodys_home() -> Iterator[Path]:
    """A folder that nobody may write to, outside of the tests' own, which is root's alone."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    with TemporaryDirectory(prefix="nobody-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.mark.parametrize("argv", [("pytest", "scenarios", "-p", "no:cacheprovider"), ("notailcar", "up")])
def test_no_engine_and_no_root(nobodys_home: Path, argv: tuple[str, ...]) -> None:
    home = nobodys_home
    become = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    environment = {
        **{
            n: v
            for n, v in os.environ.items()
            if not n.startswith(("PYTEST_", "NOTAILCAR_", "DOCKER_")) and n != "CI"
        },
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "NOTAILCAR_REPORTS": str(home / "reports"),
        "PYTHONDONTWRITEBYTECODE": "1",
        # Where no Docker listens, whatever this machine has.
        "DOCKER_HOST": f"unix://{home}/none",
    }
    readable = subprocess.run(
        [*become, PROGRAMS / "python", "-c", "import harness"], capture_output=True, check=False, cwd="/"
    )
    if readable.returncode:
        pytest.skip("nobody may not read this checkout or its Python")
    began = time.monotonic()
    said = subprocess.run(
        [*become, PROGRAMS / argv[0], *argv[1:]],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    told = said.stdout + said.stderr
    assert said.returncode == EXIT_LAB, told
    assert time.monotonic() - began < SECONDS
    assert "no Docker answers at" in told
    assert "an own engine needs root" in told
    # What to do is said once, however many claims it keeps from being judged.
    assert told.count("-> start Docker, or set DOCKER_HOST, or run as root") == 1
    assert "Traceback" not in told


@pytest.mark.lab
def test_a_job_that_does_not_parse(tmp_path: Path, scenarios: Start) -> None:
    unclosed = Edit("egress-worker.nomad.hcl", '  type        = "batch"', '  type        = "batch')
    text = (copy(tmp_path, "mine", unclosed) / unclosed.file).read_text()
    line = 1 + text[: text.index(unclosed.new)].count("\n")
    run = scenarios("--examples", str(tmp_path / "examples"))
    began = time.monotonic()
    assert run.wait() == EXIT_USAGE, run.output
    # Nomad itself reads the job, so the lab is there first; but nothing is waited for.
    assert time.monotonic() - began < 2 * SECONDS
    assert "examples/mine/egress-worker.nomad.hcl: Nomad cannot read this job" in run.output
    assert f"egress-worker.nomad.hcl:{line}" in run.output
    assert run.output.count("Invalid multi-line string") == 1
    assert "Traceback" not in run.output
    assert not run.scratch.exists()


@pytest.mark.lab
def test_a_variable_that_the_job_does_not_have(tmp_path: Path, scenarios: Start) -> None:
    copy(tmp_path, "mine", Edit("smoke.toml", "exit_wait =", "exit_weight ="))
    run = scenarios("--examples", str(tmp_path / "examples"), "-k", "egress_dns")
    assert run.wait() == EXIT_USAGE, run.output
    assert "exit_weight" in run.output
    assert "Traceback" not in run.output
