"""The registry recipe, against a registry on loopback that holds stand-ins under the official names."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engine import Engine, find_engine
from harness.errors import LabError
from harness.run.run import Run
from harness.supply import ALL, PlainProgress, Supply
from harness.supply.catalogue import UPSTREAM, Recipe
from harness.supply.choice import remembered
from harness.supply.image import Image
from harness.supply.pins import load_pins
from harness.supply.registry import pulled_name
from tests.supply.loopback import registry_on_loopback

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(shutil.which("docker-registry") is None, reason="needs Debian's docker-registry"),
]

HERE = tuple(name for name in ALL if name not in ("second-control", "acme"))
"""What can be made here: the others are compiled in golang's image, for which nothing stands in."""


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that holds what the source recipe makes in this machine's own cache."""
    with registry_on_loopback(tmp_path_factory.mktemp("registry")) as address:
        with (
            pytest.MonkeyPatch.context() as patch,
            Run() as run,
            find_engine(run, quiet) as engine,
        ):
            patch.setenv("NOTAILCAR_SUPPLY", "source")
            for image in Supply(engine, run, PlainProgress(quiet)).ensure(UPSTREAM).values():
                push(engine, image, f"{address}/mirror")
        yield f"{address}/mirror"


def push(engine: Engine, image: Image, mirror: str) -> None:
    repository, _, tag = pulled_name(image.official, mirror).rpartition(":")
    client = engine.client()
    try:
        client.api.tag(image.reference, repository, tag)
        for event in client.api.push(repository, tag=tag, stream=True, decode=True):
            assert "error" not in event, event
        client.api.remove_image(f"{repository}:{tag}")
    finally:
        client.close()


def output(engine: Engine, image: Image, *command: str) -> str:
    client = engine.client()
    try:
        said: bytes = client.containers.run(
            image.reference, list(command[1:]), entrypoint=command[0], network_mode="none", remove=True
        )
    finally:
        client.close()
    return said.decode()


def test_official_images_are_pulled_and_the_labs_are_made_from_them(
    mirror: str, own_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTAILCAR_REGISTRY", mirror)
    pins = load_pins()
    told: list[str] = []
    with Run() as run, find_engine(run, quiet) as engine:
        # Nothing is set but the mirror: that it answers makes the choice.
        images = Supply(engine, run, PlainProgress(told.append)).ensure(HERE)
        assert set(images) == set(HERE)
        assert remembered() is Recipe.REGISTRY
        for image in images.values():
            assert image.origin.startswith(f"registry: {mirror}/"), image
            assert re.search(r"@sha256:[0-9a-f]{64}", image.origin), image
            assert image.stands_in_for == ""
            assert image.recipe == "registry"
        assert images["example-python"].official == pins.python.image
        assert f"v{pins.go['nomad'].version}" in output(engine, images["node"], "nomad", "version")
        assert pins.go["tailscale"].version in output(engine, images["member"], "tailscale", "version")
        assert pins.go["tailscale"].version in output(
            engine, images["example-tailscale"], "tailscaled", "--version"
        )
        assert pins.go["headscale"].version in output(engine, images["control"], "headscale", "version")
        assert f"Python {pins.python.version}" in output(
            engine, images["example-python"], "python", "--version"
        )
        assert "drill version" in output(engine, images["example-guard"], "sh", "-c", "drill -v 2>&1")
        trusted = output(engine, images["example-python"], "ls", "/etc/ssl/certs/notailcar-lab.pem")
        assert trusted.strip() == "/etc/ssl/certs/notailcar-lab.pem"
        told.clear()
        assert Supply(engine, run, PlainProgress(told.append)).ensure(HERE) == images
        assert not told
    assert not (own_engine / "binaries").exists()


@pytest.mark.usefixtures("own_engine")
def test_a_tag_that_the_registry_does_not_know_is_named(
    mirror: str, spoilt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = spoilt / "versions.toml"
    versions.write_text(
        versions.read_text().replace("headscale/headscale:{version}", "headscale/headscale:0.0.1")
    )
    monkeypatch.setenv("NOTAILCAR_REGISTRY", mirror)
    monkeypatch.setenv("NOTAILCAR_SUPPLY", "registry")
    with Run() as run, find_engine(run, quiet) as engine, pytest.raises(LabError) as failure:
        Supply(engine, run, PlainProgress(quiet)).ensure(["headscale"])
    assert f"{mirror}/headscale/headscale:0.0.1 could not be pulled" in str(failure.value)
    assert "versions.toml" in failure.value.remedy
