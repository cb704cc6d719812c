"""Every command in docs/ is run as it stands, or its document says why not."""

import os
import shutil
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from harness.claims.catalogue import SURVIVES
from harness.claims.verdict import Outcome
from harness.faults.catalogue import FAULTS
from harness.job import example
from harness.lab.lab import Lab
from tests.docs import places
from tests.docs.blocks import (
    ACL,
    HERE,
    NETWORK,
    NODE,
    ON_THIS_MACHINE,
    PLACES,
    REPORTS,
    Block,
    blocks,
    missing,
)
from tests.docs.places import REPOSITORY, Shell
from tests.gate import build

DOCUMENTS = sorted([*(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "CONTRIBUTING.md"])
_SECONDS = 300.0


@cache
def _read(document: Path) -> tuple[Block, ...]:
    return tuple(blocks(document))


def _with(place: str) -> list[Path]:
    """The documents that have commands for a place; one that cannot be read has its own failing test."""
    found = []
    for document in DOCUMENTS:
        try:
            if any(block.place == place for block in _read(document)):
                found.append(document)
        except ValueError:
            continue
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_is_run_or_says_why_not(document: Path) -> None:
    for block in _read(document):
        assert block.place or block.reason


def test_there_are_commands_for_every_place() -> None:
    for place in PLACES:
        assert _with(place), f"no document has a command for {place}: this file tests less than it says"


def _check(block: Block, code: int, output: str) -> None:
    assert code == 0, f"{block}: exit code {code}\n{block.script}\n{output}"
    lacking = missing(block.printed, output)
    assert not lacking, f"{block}: does not print {lacking!r}:\n{output}"


def _shell(lab: Lab, place: str, owned: ExitStack) -> Shell:
    if place == ACL:
        return owned.enter_context(places.with_acls(lab))
    if place == NETWORK:
        return owned.enter_context(places.in_nodes_network(lab))
    return places.in_node(lab) if place == NODE else places.in_host(lab, place)


@pytest.mark.lab
@pytest.mark.parametrize(
    "document",
    sorted({d for p in PLACES if p not in ON_THIS_MACHINE for d in _with(p)}),
    ids=lambda path: path.name,
)
def test_commands_in_the_lab(document: Path, lab: Lab) -> None:
    """In the order of the document, whatever host each is for."""
    values = {
        "LOGIN_SERVER": lab.control.login_server,
        "EXIT_ADDRESSES": ",".join(sorted(lab.topology.host("exit-a").addresses)),
    }
    shells: dict[str, Shell] = {}
    with ExitStack() as owned:
        for block in _read(document):
            if block.place and block.place not in ON_THIS_MACHINE:
                if block.place not in shells:
                    shells[block.place] = _shell(lab, block.place, owned)
                done = shells[block.place].run(f"set -e\n{block.script}", **values)
                _check(block, done.exit_code, done.stdout + done.stderr)


def _run_here(block: Block, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run a block on this machine; its exit code, and what it printed. Its `.venv` is this environment."""
    done = subprocess.run(
        ["sh", "-ec", block.script.replace(".venv/bin/", f"{sys.prefix}/bin/")],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    return done.returncode, done.stdout


def _reports(folder: Path, refuted: str = "") -> None:
    """What a run of all examples with all faults leaves, beside what it ran, in a checkout of its own."""
    for name in ("examples", "gates", "scripts"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    build.begin(folder)
    faults = [
        (e.name, f"{e.smoke.kind}{SURVIVES}.{fault.name}", Outcome.PROVEN)
        for e in example.find(folder / "examples")
        for fault in FAULTS.values()
        if e.smoke.kind in fault.kinds
    ]
    outcomes = {(refuted, "identity.tagged"): Outcome.REFUTED} if refuted else {}
    pins = tomllib.loads((REPOSITORY / "fixtures" / "versions.toml").read_text(encoding="utf-8"))
    versions = {name: found["version"].removeprefix("v") for name, found in pins["go"].items()}
    build.run(folder, outcomes, more=faults, versions=versions)


@pytest.mark.parametrize("document", _with(REPORTS), ids=lambda path: path.name)
def test_commands_over_reports(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _reports(tmp_path)
    for block in _read(document):
        if block.place == REPORTS:
            _check(block, *_run_here(block, tmp_path, _plain_environment()))


def test_the_checklist_stops_at_a_refuted_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _reports(tmp_path, refuted="egress-worker")
    (block,) = (b for b in _read(REPOSITORY / "docs/release-checklist.md") if b.place == REPORTS)
    code, output = _run_here(block, tmp_path, _plain_environment())
    assert code == 1
    assert not missing(
        ("refused 1 of ... requirements not met", "refused egress-worker identity.tagged"), output
    )


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("NOTAILCAR_")}


@pytest.mark.lab
@pytest.mark.parametrize("document", _with(HERE), ids=lambda path: path.name)
def test_commands_on_this_machine(document: Path, tmp_path: Path) -> None:
    """In this environment, which stands for the one that the first command of all sets up."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
    environment = {**kept, "NOTAILCAR_REPORTS": str(tmp_path / "reports"), "TMPDIR": str(tmp_path)}
    if (Path(sys.prefix) / "notailcar").exists():
        environment["NOTAILCAR_VENV"] = sys.prefix
    stays_up = False
    try:
        for block in _read(document):
            if block.place != HERE:
                continue
            _check(block, *_run_here(block, REPOSITORY, environment))
            stays_up = "notailcar up" in block.script or (stays_up and "notailcar down" not in block.script)
    finally:
        if stays_up:
            # Ours, as nobody else's was there when it came up.
            subprocess.run([f"{sys.prefix}/bin/notailcar", "down"], env=environment, check=True)
