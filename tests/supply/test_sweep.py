"""What a killed image build leaves in an engine, and that a sweep removes it and nothing else."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.engine import Engine, find_engine
from harness.run.run import RUN_LABEL, Run
from harness.supply import PlainProgress, Supply
from harness.supply.ca import ca_pem
from harness.supply.catalogue import Catalogue, Recipe
from harness.supply.image import LABEL_NAME, list_images
from harness.supply.lock import somebody_builds
from harness.supply.pins import load_pins
from harness.supply.source import programs_folder
from harness.supply.sweep import sweep
from tests.supply.conftest import Command
from tests.supply.test_builds import await_line

Start = Callable[..., Command]
pytestmark = pytest.mark.lab


def quiet(_: str) -> None:
    pass


def containers(engine: Engine) -> list[str]:
    client = engine.client()
    try:
        return [str(found.name) for found in client.containers.list(all=True)]
    finally:
        client.close()


def dangling(engine: Engine) -> int:
    client = engine.client()
    try:
        return len(client.images.list(filters={"dangling": True, "label": LABEL_NAME}))
    finally:
        client.close()


@pytest.fixture
def with_base(own_engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with a base system made before, so that a test of image builds needs no debootstrap."""
    made = tmp_path_factory.getbasetemp() / "bases"
    own_engine.mkdir()
    if made.is_dir():
        shutil.copytree(made, own_engine / "bases")
        return own_engine
    with Run() as run, find_engine(run, quiet) as engine:
        Supply(engine, run, PlainProgress(quiet)).ensure(["debian"])
    shutil.copytree(own_engine / "bases", made)
    return own_engine


def test_a_killed_image_build_is_swept_and_done_again(with_base: Path, start: Start) -> None:
    source = {"NOTAILCAR_SUPPLY": "source"}
    with Run() as run, find_engine(run, quiet) as engine:
        child = start("base", settings=source)
        await_line(child, "^image base")
        client = engine.client()
        for event in client.events(decode=True, filters={"type": "container", "event": "start"}):
            assert event["Type"] == "container"
            break
        busy = sweep(engine)
        assert busy.busy
        child.kill()
        child.communicate()
        kept = client.containers.create(
            next(iter(list_images(engine))), ["true"], labels={RUN_LABEL: "some-run"}, network_mode="none"
        )
        # Its connection gone, the engine ends the build by itself.
        for container in client.containers.list(filters={"label": LABEL_NAME}):
            container.wait(timeout=60)
        client.close()
        assert not any("/base:" in reference for reference in list_images(engine))
        swept = sweep(engine)
        assert not swept.busy
        assert containers(engine) == [kept.name]
        assert dangling(engine) == 0
        again = start("base", settings=source)
        said, _ = again.communicate(timeout=300)
        assert again.returncode == 0, said
    assert with_base.is_dir()


def test_what_is_old_goes_only_when_asked(with_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTAILCAR_SUPPLY", "source")
    old = with_base / "binaries" / "0123456789abcdef"
    old.mkdir(parents=True)
    (old / "nomad").write_bytes(b"x" * 100_000)
    for name, pin in load_pins().further:
        # What a further version was built as has its use.
        catalogue = Catalogue(Recipe.SOURCE, load_pins({name: pin.version}), ca_pem(), "")
        programs_folder(catalogue, name).mkdir()
    with Run() as run, find_engine(run, quiet) as engine:
        made = Supply(engine, run, PlainProgress(quiet)).ensure(["debian"])["debian"]
        client = engine.client()
        client.images.get(made.reference).tag("notailcar/debian", "000000000000")
        client.close()
        assert sweep(engine).files == []
        with somebody_builds():
            assert sweep(engine, old=True).busy
        swept = sweep(engine, old=True)
        assert swept.files == [old]
        assert swept.images == ["notailcar/debian:000000000000"]
        assert swept.octets >= 100_000
        assert list(list_images(engine)) == [made.reference]
    assert list((with_base / "bases").iterdir())
