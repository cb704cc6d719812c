"""The images that a job's tasks are started from, each with the line that names it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.job import source
from harness.job.rendering import Rendered


@dataclass(frozen=True)
class NamedImage:
    """An image, and where a job names it."""

    image: str
    task: str
    file: Path
    line: int

    @property
    def where(self) -> str:
        """For a person: file, line and task."""
        return f"{self.file}:{self.line}: task {self.task}"


def named_images(rendered: Rendered, file: Path, text: str) -> Iterator[NamedImage]:
    """Every image of a job.

    Raises:
        UsageError: Nomad would pull one anew at each start, which nobody can in a sealed lab; names the line.
    """
    for group in rendered.job.get("TaskGroups") or ():
        for task in group.get("Tasks") or ():
            config = task.get("Config") or {}
            image = str(config.get("image") or "")
            if task.get("Driver") != "docker" or not image:
                continue
            line = source.line_of_image(text, task["Name"], image)
            named = NamedImage(image, task["Name"], file, line)
            if why := _pulled_anew(image, force=bool(config.get("force_pull"))):
                raise UsageError(
                    f"{named.where}: {image}: {why}, which a sealed lab cannot",
                    remedy="name a tag other than latest, and leave force_pull out",
                )
            yield named


def _pulled_anew(image: str, *, force: bool) -> str:
    """Why Nomad pulls an image at each start (nomad 1.11, drivers/docker/driver.go, createImage)."""
    if force:
        return "with force_pull, Nomad pulls it at each start"
    if "@" in image:
        return "by its digest, an engine finds only what it has pulled itself"
    tag = image.rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest"):
        return f"{'without a tag' if not tag else 'with the tag latest'}, Nomad pulls it at each start"
    return ""
