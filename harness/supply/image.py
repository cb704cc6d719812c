"""An image as the rest of the harness knows it, and the labels by which it is found again."""

from collections.abc import Mapping
from dataclasses import dataclass

from docker.errors import ImageNotFound

from harness.engine import Engine

REPOSITORY = "notailcar"
"""All images are named below this: a stand-in never takes the official name in the user's engine."""
LABEL_NAME = "notailcar.image"
_DIGEST = "notailcar.digest"
_ORIGIN = "notailcar.origin"
_OFFICIAL = "notailcar.official"
_STANDS_IN = "notailcar.stands-in-for"
_RECIPE = "notailcar.recipe"


@dataclass(frozen=True)
class Image:
    """One image that exists in the engine."""

    name: str
    """What it is in the lab: node, member, example-python, ..."""
    reference: str
    """How to start it: notailcar/<name>:<first 12 digits of the digest>."""
    digest: str
    """Over everything that it is made from."""
    origin: str
    """Where it came from, in one line."""
    official: str
    """The official image that it is or stands in for, as jobs name it; empty for hosts of the lab."""
    stands_in_for: str
    """The same where it is a stand-in, or nothing where it is the official image itself."""
    recipe: str
    """registry or source."""
    size: int
    """Bytes in the engine, with what it shares with others."""


def reference(name: str, digest: str) -> str:
    """The name of an image in the engine."""
    return f"{REPOSITORY}/{name}:{digest[:12]}"


def labels(
    name: str, digest: str, *, origin: str, official: str, stands_in_for: str, recipe: str
) -> dict[str, str]:
    """The labels of an image. All of them each time: an image inherits those of the one it is made from."""
    return {
        LABEL_NAME: name,
        _DIGEST: digest,
        _ORIGIN: origin,
        _OFFICIAL: official,
        _STANDS_IN: stands_in_for,
        _RECIPE: recipe,
    }


def list_images(engine: Engine) -> dict[str, Image]:
    """All our images in an engine, by reference; one call."""
    client = engine.client()
    try:
        found = client.api.images(filters={"label": LABEL_NAME})
    finally:
        client.close()
    return {
        tag: _image(tag, entry["Labels"], entry["Size"])
        for entry in found
        for tag in entry["RepoTags"] or ()
        if tag.startswith(f"{REPOSITORY}/")
    }


def find_image(engine: Engine, tag: str) -> Image | None:
    """One of our images by its reference, if it is there."""
    client = engine.client()
    try:
        found = client.images.get(tag).attrs
    except ImageNotFound:
        return None
    finally:
        client.close()
    return _image(tag, found["Config"]["Labels"] or {}, found["Size"])


def _image(tag: str, found: Mapping[str, str], size: int) -> Image:
    return Image(
        name=found.get(LABEL_NAME, ""),
        reference=tag,
        digest=found.get(_DIGEST, ""),
        origin=found.get(_ORIGIN, ""),
        official=found.get(_OFFICIAL, ""),
        stands_in_for=found.get(_STANDS_IN, ""),
        recipe=found.get(_RECIPE, ""),
        size=size,
    )
