"""`notailcar matrix` over real pytest sessions that are told what to find: no lab is booted here."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EXIT_LAB, EXIT_PROVEN, EXIT_REFUTED, EXIT_USAGE
from harness.run import places
from harness.supply.pins import load_pins

COMMAND = Path(sys.executable).with_name("notailcar")
SMOKE = 'kind = "egress"\ntags = ["tag:nomad-worker"]\n[egress]\nvia = ["exit-a"]\n'
SERVE = 'kind = "serve"\ntags = ["tag:private-service"]\n[[serve]]\nurl = "https://{host}/"\n'
SCENARIOS = """
import pytest

@pytest.mark.claim("egress.address")
def test_egress_address(judged):
    judged.assert_proven()

@pytest.mark.claim("serve.reachable")
def test_serve_reachable(judged):
    judged.assert_proven()
"""
CONFTEST = """
import json
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.claims.verdict import Outcome, Verdict
from harness.errors import LabError
from harness.plugin.executions import Judged
from harness.plugin.reporting import RECORDING

TOLD = json.loads((Path(__file__).parent / "told.json").read_text())

class Told:
    def __init__(self, config, ledger):
        self.stage = SimpleNamespace(ledger=ledger)
        versions = config.getoption("--versions")
        self.told = next((said for part, said in TOLD.items() if part in versions), "proven")

    def executions(self, program):
        return self

    def judge(self, claim, example):
        if self.told == "no lab":
            raise LabError("the lab burned down", remedy="build another")
        if self.told == "waits":
            Path("waits").touch()
            signal.pause()
        return Judged(claim, example, Verdict(Outcome(self.told), "as it was told"), 0.25)

@pytest.fixture(scope="session")
def claim_labs(request):
    with request.config.stash[RECORDING].ledger() as ledger:
        yield Told(request.config, ledger)
    Path("lab-removed").touch()
"""
FURTHER = {name: pin.version for name, pin in load_pins().further}
BOTH = {name: f"{load_pins().go[name].version},{version}" for name, version in FURTHER.items()}
Tell = Callable[..., Path]


@pytest.fixture
def site(tmp_path: Path) -> Tell:
    """A folder with scenarios that find what they are told, by a part of their --versions."""

    def tell(**told: str) -> Path:
        folder = tmp_path / "site"
        for name, smoke in (("one", SMOKE), ("served", SERVE)):
            (folder / "examples" / name).mkdir(parents=True)
            (folder / "examples" / name / "smoke.toml").write_text(smoke)
            (folder / "examples" / name / f"{name}.nomad.hcl").write_text(f'job "{name}" {{}}')
        (folder / "scenarios").mkdir()
        (folder / "scenarios" / "test_told.py").write_text(SCENARIOS)
        (folder / "scenarios" / "conftest.py").write_text(CONFTEST)
        by_version = {f"{name}={FURTHER[name]}": said for name, said in told.items()}
        (folder / "scenarios" / "told.json").write_text(json.dumps(by_version))
        return folder

    return tell


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("PYTEST_", "NOTAILCAR_REPORTS"))}
    return subprocess.Popen(
        [COMMAND, "matrix", *arguments],
        cwd=folder,
        env={**kept, "COLUMNS": "140"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def matrix(folder: Path, *arguments: str) -> tuple[int, str]:
    command = start(folder, *arguments)
    said, _ = command.communicate(timeout=600)
    return command.returncode, said


def data(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "reports" / "versions.json").read_text())
    return read


def standings(folder: Path) -> dict[str, str]:
    return {cell["cell"]: cell["standing"] for cell in data(folder)["cells"]}


def test_every_cell_is_run_and_the_worst_says_what_comes_of_all(site: Tell) -> None:
    folder = site(nomad="no lab", tailscale="refuted")
    code, said = matrix(folder, "--all")
    assert code == EXIT_REFUTED, said
    nomad, tailscale, headscale = (f"{name}-{FURTHER[name]}" for name in ("nomad", "tailscale", "headscale"))
    assert standings(folder) == {
        "default": "proven",
        nomad: "lab failed",
        tailscale: "refuted",
        headscale: "proven",
    }
    found = {cell["cell"]: cell for cell in data(folder)["cells"]}
    assert found[nomad]["errors"] == ["the lab burned down"]
    assert len(found["default"]["claims"]) == 2
    # Of headscale nothing is shown by an example that another control server serves.
    assert [claim["subject"] for claim in found[headscale]["claims"]] == ["one"]
    assert "labcontrol" in found[headscale]["outside"]["served"]
    for cell in ("default", tailscale, headscale):
        assert (folder / "reports" / found[cell]["page"]).is_file()
    page = (folder / "reports" / "versions.html").read_text()
    assert f'href="matrix/{tailscale}/matrix.html"' in page
    assert "Where versions matter" in page
    for words in ("the lab burned down", "as it was told", "labcontrol", tailscale):
        assert words in page
        assert words in " ".join(said.split())
    assert data(folder)["exit_code"] == code


def test_a_lab_that_fails_in_one_cell_is_the_worst_where_nothing_is_refuted(site: Tell) -> None:
    folder = site(nomad="no lab")
    code, said = matrix(folder, "-k", "egress_address", "--nomad", BOTH["nomad"])
    assert code == EXIT_LAB, said
    assert list(standings(folder).values()) == ["proven", "lab failed"]


def test_all_proven_is_0_and_a_cell_without_anything_to_show_does_no_harm(site: Tell) -> None:
    folder = site()
    code, said = matrix(folder, "-k", "serve_reachable", "--headscale", BOTH["headscale"])
    assert code == EXIT_PROVEN, said
    assert standings(folder)[f"headscale-{FURTHER['headscale']}"] == "nothing to show"
    code, said = matrix(folder, "-k", "serve_reachable", "--headscale", FURTHER["headscale"])
    assert code == EXIT_USAGE, said


def test_an_expression_that_chooses_nothing_is_wrong_use(site: Tell) -> None:
    folder = site()
    code, said = matrix(folder, "-k", "no_such_thing", "--nomad", FURTHER["nomad"])
    assert code == EXIT_USAGE, said
    assert "No scenario was selected" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--nomad", "0.0.1"),
            f"there are {load_pins().go['nomad'].version} (the default), {FURTHER['nomad']}",
        ),
        (("--all", "-k", "x"), "give one of them"),
        (("--examples", "nowhere"), "nowhere"),
        (("--scenarios", "nowhere"), "nowhere: there is no such folder of scenarios"),
    ],
)
def test_wrong_use_is_told_before_anything_runs(site: Tell, arguments: tuple[str, ...], words: str) -> None:
    folder = site()
    code, said = matrix(folder, *arguments)
    assert code == EXIT_USAGE
    assert words in said
    assert not (folder / "reports").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_called_off_it_ends_the_running_cell_and_tells_what_was_done(
    site: Tell, number: signal.Signals
) -> None:
    folder = site(nomad="waits")
    command = start(folder, "-k", "egress_address")
    deadline = time.monotonic() + 300
    while not (folder / "waits").exists():
        assert command.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (folder / "lab-removed").unlink()  # the first cell's
    command.send_signal(number)
    said, _ = command.communicate(timeout=300)
    assert command.returncode == 130, said
    assert (folder / "lab-removed").exists()
    assert list(standings(folder).values()) == ["proven", "interrupted", "not run", "not run"]
    assert data(folder)["interrupted"]
    assert "not run" in said


def test_what_an_earlier_matrix_left_is_not_taken_for_this_ones(site: Tell) -> None:
    folder = site(nomad="proven")
    assert matrix(folder, "-k", "egress_address", "--nomad", FURTHER["nomad"])[0] == EXIT_PROVEN
    (folder / "scenarios" / "conftest.py").write_text("import nothing_of_this_name\n")
    code, said = matrix(folder, "-k", "egress_address", "--nomad", FURTHER["nomad"])
    assert code != EXIT_PROVEN, said
    (cell,) = data(folder)["cells"]
    assert not cell["claims"]
    assert not cell["page"]


def test_the_versions_that_are_chosen_by_default_are_those_of_the_file() -> None:
    assert set(FURTHER) == {"nomad", "tailscale", "headscale"}
    for name, version in FURTHER.items():
        assert (places.fixtures() / "go" / "further" / f"{name}-{version}" / "go.sum").is_file()
