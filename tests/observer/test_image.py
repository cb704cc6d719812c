"""The observer's image: it runs as nobody, writes to its book alone, and has every right taken away."""

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from docker.models.containers import Container
from docker.types import Healthcheck

from harness.engine import Engine, find_engine
from harness.management.waiting import wait_until
from harness.run.run import Run
from harness.supply import PlainProgress, Supply
from harness.supply.catalogue import Catalogue, Recipe
from harness.supply.image import Image
from harness.supply.pins import load_pins
from tests.observer.programs import FOLDER, TOKEN, module

if TYPE_CHECKING:
    from docker import DockerClient

DOCKERFILE = Path(__file__).resolve().parents[2] / "docker/observer/Dockerfile"
PROGRAM = "/usr/local/lib/notailcar-observer/observer.py"
SECOND = 1_000_000_000  # in the engine's unit
ASK = """
import sys, urllib.request
address, token, body = sys.argv[1:]
asked = urllib.request.Request(address, data=body.encode() or None)
asked.add_header("Authorization", "Bearer " + token)
print(urllib.request.urlopen(asked).read().decode())
"""


def quiet(_: str) -> None:
    pass


def catalogue() -> Catalogue:
    return Catalogue(Recipe.SOURCE, load_pins(), b"", "")


def test_its_base_is_that_of_the_examples() -> None:
    (default,) = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert default == load_pins().python.image


def test_it_is_made_of_its_programs_alone() -> None:
    context = catalogue().plan("observer").context
    assert set(context) == {"Dockerfile", *(file.name for file in FOLDER.glob("*.py"))}
    assert "observer.py" in context


def test_what_its_readme_sets_are_its_settings() -> None:
    options = re.findall(r"^  --([a-z-]+)", helped(), re.MULTILINE)
    known = {f"OBSERVER_{option.upper().replace('-', '_')}" for option in options}
    of_the_harness = {"OBSERVER_URL", "OBSERVER_TOKEN", "OBSERVER_CACERT"}
    folder = DOCKERFILE.parent
    for file in (DOCKERFILE, folder / "README.md", folder / "compose.yaml"):
        named = set(re.findall(r"OBSERVER_[A-Z_]+", file.read_text(encoding="utf-8")))
        assert named - of_the_harness <= known
    told = (folder / "README.md").read_text(encoding="utf-8")
    assert known - {"OBSERVER_CHECK", "OBSERVER_VERSION"} <= set(re.findall(r"OBSERVER_[A-Z_]+", told))


def test_its_tag_is_its_version() -> None:
    version = module("management").VERSION
    for name in ("README.md", "compose.yaml"):
        told = (DOCKERFILE.parent / name).read_text(encoding="utf-8")
        assert set(re.findall(r"notailcar/observer:(\S+)", told)) == {version}


def helped() -> str:
    told = subprocess.run(
        [sys.executable, str(FOLDER / "observer.py"), "--help"], capture_output=True, text=True, check=True
    )
    return told.stdout


@pytest.fixture(scope="module")
def built() -> Iterator[tuple[Engine, Image]]:
    """As this machine's own cache has it, or makes it."""
    with ExitStack() as stack:
        run = stack.enter_context(Run())
        engine = stack.enter_context(find_engine(run, quiet))
        yield engine, Supply(engine, run, PlainProgress(quiet)).ensure(["observer"])["observer"]


@pytest.fixture(scope="module")
def client(built: tuple[Engine, Image]) -> Iterator["DockerClient"]:
    made = built[0].client()
    yield made
    made.close()


@pytest.fixture
def running(built: tuple[Engine, Image], client: "DockerClient") -> Iterator[Container]:
    """As its README has it run, but for the network."""
    image = built[1].reference
    with ExitStack() as stack:
        volume = client.volumes.create(f"notailcar-observer-{secrets.token_hex(4)}")
        stack.callback(volume.remove)
        client.containers.run(
            image,
            ["-c", f"umask 077; echo {TOKEN} > /secret/token; chown -R 65532 /secret"],
            entrypoint=["sh"],
            user="0",
            volumes={volume.name: {"bind": "/secret", "mode": "rw"}},
            network_mode="none",
            remove=True,
        )
        container = client.containers.run(
            image,
            detach=True,
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            tmpfs={"/var/lib/observer": "size=80m,mode=0700,uid=65532,gid=65532"},
            volumes={volume.name: {"bind": "/secret", "mode": "ro"}},
            environment={"OBSERVER_TOKEN_FILE": "/secret/token"},
            healthcheck=Healthcheck(
                test=client.images.get(image).attrs["Config"]["Healthcheck"]["Test"],
                interval=SECOND,
                timeout=6 * SECOND,
            ),
        )
        stack.callback(container.remove, force=True)
        wait_until(
            lambda: b"listening" in container.logs(),
            seconds=30,
            what="the observer listens",
            tail=lambda: container.logs().decode(),
        )
        yield container


def health(container: Container) -> str:
    container.reload()
    return str(container.attrs["State"]["Health"]["Status"])


def ask(container: Container, path: str, body: str = "") -> dict[str, object]:
    code, said = container.exec_run(["python3", "-c", ASK, f"http://127.0.0.1:8080{path}", TOKEN, body])
    assert code == 0, said
    assert isinstance(said, bytes)
    answer: dict[str, object] = json.loads(said)
    return answer


@pytest.mark.lab
def test_it_serves_as_nobody_with_nothing_to_write_to(running: Container) -> None:
    wait_until(
        lambda: health(running) == "healthy",
        seconds=30,
        what="the observer is healthy",
        tail=lambda: running.logs().decode(),
    )
    assert ask(running, "/json?token=t-1") == {"ip": "127.0.0.1", "token": "t-1"}
    page = ask(running, "/observer/book?token=t-1")
    assert [line["token"] for line in page["lines"]] == ["t-1"]  # type: ignore[attr-defined] # from JSON
    order = json.dumps({"targets": [["127.0.0.1", 8080], ["127.0.0.1", 1]]})
    tried = ask(running, "/observer/probe", order)["targets"]
    assert [each["connected"] for each in tried] == [True, False]  # type: ignore[attr-defined]
    for wrong in (["sh", "-c", "echo x > /tmp/x"], ["sh", "-c", f"echo x >> {PROGRAM}"]):
        assert running.exec_run(wrong)[0] != 0
    assert running.exec_run(["id", "-u"])[1] == b"65532\n"
    assert running.exec_run(["sh", "-c", "echo x > /var/lib/observer/x"])[0] == 0


@pytest.mark.lab
def test_the_token_is_in_no_list_and_no_log(running: Container) -> None:
    ask(running, "/observer/about")
    listed = running.top()["Processes"]
    running.reload()
    shown = json.dumps([listed, running.attrs, running.logs().decode()])
    assert "observer.py" in shown
    assert TOKEN not in shown


@pytest.mark.lab
def test_it_ends_when_it_is_told_to(running: Container) -> None:
    running.stop(timeout=30)
    running.reload()
    assert running.attrs["State"]["ExitCode"] == 0


@pytest.mark.lab
def test_its_check_fails_where_none_runs(built: tuple[Engine, Image], client: "DockerClient") -> None:
    container = client.containers.run(built[1].reference, ["--check"], network_mode="none", detach=True)
    try:
        assert container.wait()["StatusCode"] == 1
    finally:
        container.remove(force=True)
