"""The guard's image, as it is built: its tools run with every right taken away, and it gives none back."""

import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from harness.engine import Engine, find_engine
from harness.run.run import Run
from harness.supply import PlainProgress, Supply
from harness.supply.catalogue import Catalogue, Recipe
from harness.supply.image import Image
from harness.supply.pins import load_pins
from tests.supply.conftest import REPOSITORY

DOCKERFILE = REPOSITORY / "docker/guard-image/Dockerfile"
Inside = Callable[..., str]


def quiet(_: str) -> None:
    pass


def test_its_pin_is_that_of_tailscale_everywhere() -> None:
    pins = load_pins()
    pinned = pins.go["tailscale"].image
    official = Catalogue(Recipe.SOURCE, pins, b"", "").official("guard")
    (default,) = re.findall(r"^ARG TAILSCALE=(\S+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert default == pinned
    readme = DOCKERFILE.with_name("README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"tailscale/tailscale:\S+", readme)) == {pinned}
    assert set(re.findall(r"(?<=registry\.example\.com/)\S+:\S+", readme)) == {official}
    smoke = tomllib.loads((REPOSITORY / "examples/webhook-bridge/smoke.toml").read_text(encoding="utf-8"))
    assert smoke["vars"]["guard_image"] == official
    assert smoke["vars"]["check_url"].startswith("{echo:https}")


@pytest.fixture(scope="module")
def built() -> Iterator[tuple[Engine, dict[str, Image]]]:
    """As this machine's own cache has it, or makes it."""
    with ExitStack() as stack:
        run = stack.enter_context(Run())
        engine = stack.enter_context(find_engine(run, quiet))
        yield engine, Supply(engine, run, PlainProgress(quiet)).ensure(["guard", "example-guard"])


@pytest.fixture(params=["guard", "example-guard"])
def inside(request: pytest.FixtureRequest, built: tuple[Engine, dict[str, Image]]) -> Inside:
    """Runs a command in the image as a job does: nothing to write to, no right, no network."""
    engine, images = built

    def run(*command: str) -> str:
        client = engine.client()
        try:
            said: bytes = client.containers.run(
                images[request.param].reference,
                list(command),
                network_mode="none",
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                remove=True,
                stderr=True,
            )
        finally:
            client.close()
        return said.decode()

    return run


@pytest.mark.lab
def test_its_tools_run(inside: Inside) -> None:
    version = load_pins().go["tailscale"].version
    assert version in inside("tailscale", "version")
    assert version in inside("tailscaled", "--version")
    assert re.search(r"^Protocols:.* https", inside("curl", "--version"), re.MULTILINE)
    assert inside("sh", "-c", """echo '{"a": [1, 2]}' | jq -c .a""") == "[1,2]\n"
    assert "drill version" in inside("sh", "-c", "drill -v")
    # The guard's own commands.
    for command in ("awk", "cut", "grep", "head", "mktemp", "sed", "sleep", "tail", "timeout", "tr"):
        assert inside("sh", "-c", f"command -v {command}").strip()


@pytest.mark.lab
def test_no_file_gives_more_rights_than_its_caller_has(inside: Inside) -> None:
    # Without capabilities, root does not see into a folder of apt's own user.
    beside_apt = ("find", "/", "-xdev", "-path", "/var/cache/apt", "-prune", "-o")
    assert inside(*beside_apt, "-type", "f", "-perm", "/6000", "-print") == ""
    # It would have been found: the search does see files by their rights.
    assert "/usr/local/bin/tailscale\n" in inside("find", "/usr/local/bin", "-perm", "/0100")


@pytest.mark.lab
def test_it_starts_nothing_by_itself(built: tuple[Engine, dict[str, Image]]) -> None:
    engine, images = built
    client = engine.client()
    try:
        for image in images.values():
            config = client.images.get(image.reference).attrs["Config"]
            assert config["Cmd"] == ["/bin/sh"]
            assert not config["Entrypoint"]
            assert not config.get("ExposedPorts")
    finally:
        client.close()


@pytest.mark.lab
def test_the_lab_is_offered_it_by_its_official_name_with_the_labs_ca(
    built: tuple[Engine, dict[str, Image]],
) -> None:
    engine, images = built
    tag = load_pins().go["tailscale"].image.rpartition(":")[2]
    assert images["example-guard"].official == f"notailcar/guard:{tag}"
    client = engine.client()
    try:
        found = {
            name: client.containers.run(
                image.reference,
                ["sh", "-c", "ls /usr/local/share/ca-certificates"],
                network_mode="none",
                remove=True,
            ).decode()
            for name, image in images.items()
        }
    finally:
        client.close()
    assert found == {"guard": "", "example-guard": "notailcar-lab.crt\n"}
