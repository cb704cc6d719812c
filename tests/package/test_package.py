"""Wheel and sdist are whole, and what is installed from them works far from the repository."""

import json
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from harness.supply.ca import ca_pem
from harness.supply.catalogue import ALL, Catalogue, Recipe
from harness.supply.pins import load_pins
from tests.package.wheel import REPOSITORY, Fresh, build, copy_example

DATA = ("fixtures", "acl", "docker", "scenarios", "modules", "scripts/tailscale")
REFERENCES = """
from harness.supply.ca import ca_pem
from harness.supply.catalogue import ALL, Catalogue, Recipe
from harness.supply.pins import load_pins
for recipe in Recipe:
    catalogue = Catalogue(recipe, load_pins(), ca_pem(), "")
    print(*(catalogue.plan(name).reference for name in ALL), sep="\\n")
"""


def committed(folder: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(listed.stdout.split())


def test_the_wheel_holds_every_file_of_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        inside = set(packed.namelist())
    expected = {f"harness/_data/{file}" for folder in DATA for file in committed(folder)}
    assert expected - inside == set()
    assert {n for n in inside if n.startswith("harness/_data/")} - expected == set()
    assert "harness/py.typed" in inside


def test_an_sdist_gives_the_same_wheel_and_names_no_place_of_this_machine(
    wheel: Path, tmp_path: Path
) -> None:
    for folder in ("sdist", "unpacked", "wheel"):
        (tmp_path / folder).mkdir()
    with tarfile.open(build("sdist", REPOSITORY, tmp_path / "sdist")) as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    assert not (source / ".git").exists()
    again = build("wheel", source, tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert {i.filename: i.CRC for i in one.infolist()} == {i.filename: i.CRC for i in other.infolist()}


def test_its_images_are_those_of_the_repository(fresh: Fresh) -> None:
    """Every file that an image is made from is there, to the letter, and as runnable: else other digests."""
    done = fresh.run(f"python - <<'PYTHON'\n{REFERENCES}PYTHON\n")
    expected = [
        Catalogue(recipe, load_pins(), ca_pem(), "").plan(name).reference for recipe in Recipe for name in ALL
    ]
    assert done.stdout.split() == expected


def test_the_command_is_there_and_says_where_things_are(fresh: Fresh) -> None:
    done = fresh.run("notailcar --version && notailcar where modules && notailcar where scripts")
    _, modules, scripts = done.stdout.splitlines()
    assert (Path(modules) / "nomad/egress-sidecar.nomad.hcl").is_file()
    assert (Path(scripts) / "tailscale/egress-guard.sh").is_file()
    assert Path(modules).is_relative_to(fresh.environment)


def test_whoever_has_it_installed_and_does_not_use_it_finds_no_trace(fresh: Fresh) -> None:
    (fresh.folder / "test_mine.py").write_text("def test_mine():\n    pass\n", encoding="utf-8")
    done = fresh.run("pytest -q -p no:cacheprovider", PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert [p.name for p in fresh.folder.iterdir()] == ["test_mine.py"]


def test_scenarios_are_collected_from_the_wheel(fresh: Fresh) -> None:
    copy_example("private-http-service", fresh.folder / "examples")
    done = fresh.run("pytest --examples examples --collect-only -q -p no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert "test_serve_reachable[private-http-service]" in done.stdout
    assert not (fresh.folder / "reports").exists()


@pytest.mark.lab
def test_a_job_is_proven_by_the_wheel_alone(fresh: Fresh) -> None:
    copy_example("private-http-service", fresh.folder / "examples")
    done = fresh.run("pytest --examples examples -p no:cacheprovider")
    assert done.returncode == 0, done.stdout
    entries = json.loads((fresh.folder / "reports/claims.json").read_text(encoding="utf-8"))
    assert {e["verdict"] for e in entries} == {"proven"}
    assert "serve.private" in {e["claim"] for e in entries}
    assert (fresh.folder / "reports/matrix.html").is_file()
