"""Images of one's own: out of the engine, out of a registry on loopback, or nowhere."""

import io
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from docker import DockerClient

from harness.engine import Engine, find_engine
from harness.errors import EXIT_USAGE, UsageError
from harness.run.run import Run
from harness.supply import PlainProgress, Supply
from harness.supply.own_images import OwnImage, OwnImages
from tests.supply.loopback import registry_on_loopback

pytestmark = pytest.mark.lab

WHERE = "jobs/mine.nomad.hcl:12: task worker"
LAB_CA = "/usr/local/share/ca-certificates/notailcar-lab.crt"


def quiet(_: str) -> None:
    pass


@pytest.fixture
def own() -> Iterator[tuple[OwnImages, Engine, DockerClient]]:
    with Run() as run, find_engine(run, quiet) as engine:
        client = engine.client()
        try:
            yield OwnImages(engine, run.folder, PlainProgress(quiet)), engine, client
        finally:
            client.close()


@contextmanager
def image(client: DockerClient, name: str, *lines: str, base: str = "") -> Iterator[str]:
    """An image of this test's own, from one of the lab's or from nothing but a file."""
    packed = io.BytesIO()
    text = "\n".join([f"FROM {base or 'scratch'}", "COPY word /word", *lines]).encode()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for file, content in (("Dockerfile", text), ("word", name.encode())):
            entry = tarfile.TarInfo(file)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    packed.seek(0)
    built, _ = client.images.build(fileobj=packed, custom_context=True, tag=name, network_mode="host")
    try:
        yield name
    finally:
        client.images.remove(name, force=True)
        del built


def forget(client: DockerClient, *found: OwnImage) -> None:
    for each in found:
        client.images.remove(each.reference, force=True)


def read(client: DockerClient, reference: str, path: str) -> bytes:
    container = client.containers.create(reference, command="never-run")
    try:
        pieces, _ = container.get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
            content = tar.extractfile(tar.getmembers()[0])
            assert content
            return content.read()
    finally:
        container.remove()


def test_one_of_the_engine_is_used_as_it_is_but_for_the_labs_ca(
    own: tuple[OwnImages, Engine, DockerClient],
) -> None:
    images, engine, client = own
    with Run() as run:
        base = Supply(engine, run, PlainProgress(quiet)).ensure(["host"])["host"].reference
    with image(client, "mine/worker:1", "USER 1234", 'CMD ["/word"]', base=base) as name:
        (found,) = images.ensure({name: WHERE})
        try:
            assert found.named == name
            assert found.origin == engine.describe()
            assert read(client, found.reference, "/word") == b"mine/worker:1"
            assert b"BEGIN CERTIFICATE" in read(client, found.reference, LAB_CA)
            config = client.images.get(found.reference).attrs["Config"]
            assert (config["User"], config["Cmd"]) == ("1234", ["/word"])
            # Made once; the same again costs a look.
            assert images.ensure({name: WHERE}) == [found]
        finally:
            forget(client, found)


def test_one_without_a_shell_is_taken_as_it_is(own: tuple[OwnImages, Engine, DockerClient]) -> None:
    images, _, client = own
    with image(client, "mine/bare:1", 'CMD ["/word"]') as name:
        assert [i.reference for i in images.ensure({name: WHERE})] == [name]


def test_one_that_is_nowhere_is_named_with_its_line(
    own: tuple[OwnImages, Engine, DockerClient],
) -> None:
    images, engine, _ = own
    with pytest.raises(UsageError) as caught:
        images.ensure(
            {"127.0.0.1:9/no/such:1": WHERE, "nobody.invalid/no/such:2": "jobs/b.nomad.hcl:3: task b"}
        )
    error = caught.value
    assert error.exit_code == EXIT_USAGE
    assert engine.describe() in error.problem
    assert error.problem.startswith("2 images are neither in the engine")
    assert f"{WHERE}: 127.0.0.1:9/no/such:1" in error.log
    assert "jobs/b.nomad.hcl:3: task b: nobody.invalid/no/such:2" in error.log
    assert "docker pull" in error.remedy


@pytest.mark.skipif(shutil.which("docker-registry") is None, reason="needs Debian's docker-registry")
@pytest.mark.parametrize("mirrored", [False, True], ids=["named", "mirror"])
def test_one_of_a_registry_is_pulled(
    mirrored: bool,
    own: tuple[OwnImages, Engine, DockerClient],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, _, client = own
    with registry_on_loopback(tmp_path) as address:
        with image(client, f"{address}/mine/app:1", 'CMD ["/word"]') as stored:
            for event in client.api.push(f"{address}/mine/app", tag="1", stream=True, decode=True):
                assert "error" not in event, event
        name = "mine/app:1" if mirrored else stored
        if mirrored:
            monkeypatch.setenv("NOTAILCAR_REGISTRY", address)
        (found,) = images.ensure({name: WHERE})
        try:
            assert found.named == name
            assert "@sha256:" in found.origin
            assert read(client, found.reference, "/word").decode() == stored
            with pytest.raises(UsageError, match="neither in the engine"):
                images.ensure({f"{address}/mine/app:2": WHERE})
        finally:
            for each in {found.reference, stored, name}:
                client.images.remove(each, force=True)


def test_a_hosts_image_is_made_from_the_labs(own: tuple[OwnImages, Engine, DockerClient]) -> None:
    images, engine, client = own
    with Run() as run:
        base = Supply(engine, run, PlainProgress(quiet)).ensure(["host"])["host"].reference
    with image(client, "mine/bystander:1", base=base) as good, image(client, "mine/other:1") as bad:
        images.ensure_made_from(good, "host", base, "host outsider of the topology")
        with pytest.raises(UsageError, match="host outsider of the topology: mine/other:1 is not made from"):
            images.ensure_made_from(bad, "host", base, "host outsider of the topology")
        with pytest.raises(UsageError, match="is not made from the lab's image member"):
            images.ensure_made_from(good, "member", "notailcar/member:1", "host exit-a of the topology")
