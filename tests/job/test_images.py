"""The images of a job, and those that no sealed lab can give."""

from pathlib import Path

import pytest

from harness.errors import EXIT_USAGE, UsageError
from harness.job.images import named_images
from harness.job.rendering import by_lifecycle
from tests.job.jobs import FILE, job, task

TEXT = 'job "mine" {\n  task "worker" {\n    config {\n      image = "%s"\n'


def named(image: str, *, force_pull: bool = False) -> list[tuple[str, str]]:
    rendered = by_lifecycle(job(task("worker", image=image, force_pull=force_pull)))
    return [(n.image, n.where) for n in named_images(rendered, FILE, TEXT % image)]


@pytest.mark.parametrize(
    "image", ["mine:1", "ghcr.io/me/mine:1.2", "127.0.0.1:5000/mine:1", "localhost/mine:sha-1"]
)
def test_an_image_is_named_with_its_line(image: str) -> None:
    assert named(image) == [(image, "jobs/mine.nomad.hcl:4: task worker")]


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("mine", "without a tag"),
        ("127.0.0.1:5000/mine", "without a tag"),
        ("mine:latest", "the tag latest"),
        ("mine@sha256:" + "0" * 64, "by its digest"),
    ],
)
def test_one_that_nomad_pulls_anew_is_refused(image: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        named(image)
    assert caught.value.problem.startswith(f"{FILE}:4: task worker: {image}")
    assert caught.value.exit_code == EXIT_USAGE


def test_force_pull_is_refused() -> None:
    with pytest.raises(UsageError, match="force_pull"):
        named("mine:1", force_pull=True)


def test_other_drivers_have_no_image() -> None:
    plain = {**task("worker"), "Driver": "exec"}
    assert list(named_images(by_lifecycle(job(plain)), Path("x"), "")) == []
