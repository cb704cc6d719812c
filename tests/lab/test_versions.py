"""Which versions run: what programs say of themselves, and that a lab of another version really is one.

The lab here has another tailscale, whose build is the shortest. `pytest tests/lab/test_versions.py --versions
nomad=1.10.5` boots one with what is named instead, and `notailcar matrix` runs them all.
"""

import pytest

from harness.assembly import default_topology, ready_lab
from harness.errors import LabError
from harness.job.example import load
from harness.job.submission import OwnNamespace, Submission, started
from harness.lab.topology import Membership
from harness.lab.versions import check, number
from harness.ledger.ledger import Ledger
from harness.probes.stage import Stage
from harness.report.progress import Progress
from harness.run.run import Run
from harness.supply.pins import load_pins, read_versions
from tests.supply.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Nomad v1.10.5\nBuildDate 2025-09-09T14:36:45Z\n", "1.10.5"),
        ("headscale version v0.28.0\ncommit: unknown\nbuilt with: go1.26.8 linux/amd64\n", "0.28.0"),
        ("1.98.9-t0123abcd", "1.98.9"),
        ("1.102.3\n  long version: 1.102.3\n  go version: go1.26.8", "1.102.3"),
    ],
)
def test_a_version_is_read_from_what_a_program_says(said: str, version: str) -> None:
    assert number("a program", said) == version


def test_a_program_that_says_none_is_an_error_of_the_lab() -> None:
    with pytest.raises(LabError, match="nomad does not say its version"):
        number("nomad", "Nomad, of some version")


PINNED = {"nomad": "1.11.3", "tailscale": "1.102.3", "headscale": "0.29.3", "debian": "trixie"}


def test_what_runs_is_what_was_pinned() -> None:
    said = {name: frozenset({PINNED[name]}) for name in ("nomad", "tailscale", "headscale")}
    assert check(said, PINNED) == PINNED


def test_a_lab_without_headscale_does_not_claim_its_version() -> None:
    said = {name: frozenset({PINNED[name]}) for name in ("nomad", "tailscale")}
    assert "headscale" not in check(said, PINNED)


@pytest.mark.parametrize("versions", [{"1.98.9"}, {"1.98.9", "1.102.3"}])
def test_a_host_of_another_version_is_an_error_of_the_lab(versions: set[str]) -> None:
    with pytest.raises(LabError, match=r"the lab runs tailscale .*1\.98\.9, and was to run 1\.102\.3"):
        check({"tailscale": frozenset(versions)}, PINNED)


@pytest.mark.lab
def test_a_lab_of_another_version_runs_it_in_every_host_and_in_the_jobs_sidecar(
    request: pytest.FixtureRequest,
) -> None:
    further = {"tailscale": next(pin.version for name, pin in load_pins().further if name == "tailscale")}
    versions = read_versions(request.config.getoption("--versions"), "--versions") or further
    pins = load_pins(versions)
    example = load(REPOSITORY / "examples" / "private-http-service")
    with (
        Progress() as progress,
        Run() as run,
        ready_lab(default_topology(), run, progress, pins=pins) as ready,
        Ledger(run.folder / "ledger.jsonl") as ledger,
    ):
        for name, version in versions.items():
            assert ready.versions[name] == version
        stage = Stage(ready.lab, run, ledger, progress, ready.nomad, ready.images)
        rendered = stage.render(example)
        key = ready.lab.control.member_key(Membership(tags=example.smoke.tags))
        node = ready.lab.node
        with Submission(node.nomad, rendered, OwnNamespace("versions")) as submission:
            allocation = submission.register(key).wait(started(rendered.sidecars), 60)
            container = f"tailscale-{allocation.id}"
            ask = ("docker", "exec", container, "sh", "-c", "tailscale version && tailscaled --version")
            said = node.host.run(*ask).expect().stdout
            image = (
                node.host.run("docker", "inspect", "--format", "{{.Config.Image}}", container).expect().stdout
            )
    wanted = pins.go["tailscale"]
    assert image.strip() == wanted.image
    # The first line of each: of the command, and of the daemon.
    assert [line for line in said.splitlines() if not line.startswith(" ")] == [wanted.version] * 2, said
