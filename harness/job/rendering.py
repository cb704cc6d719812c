"""From an example's files to the job that Nomad's API takes, by the nomad command itself.

`file()` in a job resolves against the command's working directory and is off in the API's own parser,
so the job is rendered where and as a user would: `nomad job run -output` from the folder that its
`file()` paths start at.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.job.example import EXAMPLES_KEY, AuthKeyPlace, Example
from harness.management.command import CommandResult

_FILE_CALL = re.compile(r'\bfile\(\s*"([^"$]+)"\s*\)')
_VARIABLE = re.compile(r'^variable\s+"([^"]+)"\s*\{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
_DEFAULT = re.compile(r'^\s*default\s*=\s*"([^"]*)"', re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{([a-z_]+(?::[a-z0-9-]+)?)\}")
_NANOSECONDS = 1_000_000_000
_KILL_TIMEOUT = 5 * _NANOSECONDS


@dataclass(frozen=True)
class Rendered:
    """A job as JSON, and what its tasks are for by their lifecycle."""

    job: dict[str, Any]
    sidecars: frozenset[str]
    guards: frozenset[str]
    workers: frozenset[str]
    auth_key: AuthKeyPlace = EXAMPLES_KEY
    """Where it reads its auth key."""
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What else it reads from Nomad Variables, made up: items by path."""

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self.job["ID"])

    @property
    def sealed(self) -> frozenset[str]:
        """The main tasks that are not on the node's network: in one of their own, or of another container."""
        return frozenset(
            task["Name"]
            for group in self.job.get("TaskGroups") or ()
            for task in group.get("Tasks") or ()
            if task["Name"] in self.workers
            and str((task.get("Config") or {}).get("network_mode")).startswith(("none", "container:"))
        )

    @property
    def stays(self) -> bool:
        """Whether it runs until it is told to stop: a service."""
        # What is not said is left to the server, which fills in its defaults (nomad, api.Job.Canonicalize).
        return str(self.job.get("Type") or "service") == "service"

    @property
    def periodic(self) -> bool:
        """Whether it only launches other jobs, by a schedule."""
        return bool(self.job.get("Periodic"))

    @property
    def count(self) -> int:
        """How many allocations one run of it has."""
        return sum(int(1 if group["Count"] is None else group["Count"]) for group in self.job["TaskGroups"])

    @property
    def end_seconds(self) -> float:
        """How many seconds its tasks may take to end once they are told to: main tasks first, then sidecars.

        Where a task does not say how long, Nomad gives it 5 s (nomad, api.Task.Canonicalize).
        """
        taken = [
            _said(group, "ShutdownDelay") + 2 * max(map(_to_end, group.get("Tasks") or ()), default=0)
            for group in self.job.get("TaskGroups") or ()
        ]
        return max(taken, default=0) / _NANOSECONDS

    @property
    def in_consul(self) -> tuple[str, ...]:
        """The names of the services that it registers with Consul, Nomad's default for who does not say."""
        blocks = [
            b for group in self.job.get("TaskGroups") or () for b in (group, *(group.get("Tasks") or ()))
        ]
        services = [service for block in blocks for service in block.get("Services") or ()]
        return tuple(s["Name"] for s in services if (s.get("Provider") or "consul") == "consul")


def _to_end(task: Mapping[str, Any]) -> int:
    return _said(task, "ShutdownDelay") + _said(task, "KillTimeout", _KILL_TIMEOUT)


def _said(block: Mapping[str, Any], name: str, otherwise: int = 0) -> int:
    """A duration of a job, in nanoseconds."""
    value = block.get(name)
    return otherwise if value is None else int(value)


def root_of(example: Example) -> Path:
    """The folder from which a user runs this job: that which holds every file that the job names."""
    named = _FILE_CALL.findall(example.job_file.read_text(encoding="utf-8"))
    for folder in (example.folder, *example.folder.parents):
        if all((folder / name).is_file() for name in named):
            return folder if named else example.folder
    missing = [
        n for n in named if not any((f / n).is_file() for f in (example.folder, *example.folder.parents))
    ]
    raise UsageError(
        f"{example.job_file}: names a file that is not there: {', '.join(missing or named)}",
        remedy="file() paths start at the folder from which `nomad job run` is called, "
        "as a rule the repository's root",
    )


def needed_files(example: Example, root: Path) -> list[Path]:
    """What rendering needs, below `root`: the job, its var files, each file that it names."""
    text = example.job_file.read_text(encoding="utf-8")
    return [
        example.job_file,
        *(example.folder / name for name in example.smoke.var_files),
        *(root / name for name in _FILE_CALL.findall(text)),
    ]


def fill(variables: Mapping[str, str], values: Mapping[str, str], where: Path) -> dict[str, str]:
    """Replace `{placeholders}` in smoke.toml's [vars]. Raises UsageError for one that is not known."""
    for name, text in variables.items():
        for placeholder in _PLACEHOLDER.findall(text):
            if placeholder not in values:
                raise UsageError(
                    f"{where}: [vars] {name} holds the unknown placeholder {{{placeholder}}}",
                    remedy=f"there are {', '.join('{' + known + '}' for known in sorted(values))}",
                )
    return {name: _PLACEHOLDER.sub(lambda found: values[found[1]], text) for name, text in variables.items()}


def with_images(job: str, variables: Mapping[str, str], images: Mapping[str, str]) -> dict[str, str]:
    """Name other images to a job by its own variables: in those that are set, and in those by default.

    Args:
        job: the text of its file.
        variables: what its variables are set to.
        images: those to replace, to those that take their places.
    """
    defaults = {
        name: found[1]
        for name, body in _VARIABLE.findall(job)
        if (found := _DEFAULT.search(body)) is not None
    }
    return {
        **{name: images[text] for name, text in defaults.items() if text in images},
        **{name: images.get(text, text) for name, text in variables.items()},
    }


def check_images(example: Example, job: Mapping[str, Any], images: Mapping[str, str]) -> None:
    """Refuse a job that still names an image that was to be replaced: it would run what it was not to run."""
    named = {
        str((task.get("Config") or {}).get("image"))
        for group in job.get("TaskGroups") or ()
        for task in group.get("Tasks") or ()
    }
    for image in sorted(named & images.keys()):
        raise UsageError(
            f"{example.job_file}: names {image} in another way than by a variable's default, and is to run "
            f"with {images[image]}",
            remedy='give the job a variable for it, such as variable "tailscale_image"',
        )


def command(
    example: Example, root: Path, values: Mapping[str, str], images: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """The command by which Nomad renders a job, given at `root`. Raises UsageError: a wrong placeholder."""
    text = example.job_file.read_text(encoding="utf-8")
    variables = with_images(text, fill(example.smoke.vars, values, example.smoke_file), images or {})
    folder = example.folder.relative_to(root)
    return (
        *("nomad", "job", "run", "-output"),
        *(f"-var-file={folder / name}" for name in example.smoke.var_files),
        *(f"-var={name}={text}" for name, text in variables.items()),
        str(example.job_file.relative_to(root)),
    )


def rendered_by(
    example: Example, root: Path, result: CommandResult, images: Mapping[str, str] | None = None
) -> Rendered:
    """What that command gave. Raises UsageError with Nomad's own words: file, line and column."""
    if result.exit_code:
        raise UsageError(
            f"{example.job_file}: Nomad cannot read this job",
            log=result.stderr or result.stdout,
            remedy=f"paths are relative to {root}",
        )
    job: dict[str, Any] = json.loads(result.stdout)["Job"]
    check_images(example, job, images or {})
    return replace(by_lifecycle(job), auth_key=example.smoke.auth_key, variables=example.smoke.variables)


def variables_of(example: Example) -> frozenset[str]:
    """The names of the HCL variables that a job has."""
    return frozenset(name for name, _ in _VARIABLE.findall(example.job_file.read_text(encoding="utf-8")))


def by_lifecycle(job: dict[str, Any]) -> Rendered:
    """A job with its tasks told apart: those of prestart end before the others start, sidecars stay."""
    sidecars, guards, workers = set(), set(), set()
    for group in job["TaskGroups"]:
        for task in group["Tasks"]:
            lifecycle = task.get("Lifecycle") or {}
            if lifecycle.get("Sidecar"):
                sidecars.add(task["Name"])
            elif lifecycle.get("Hook") == "prestart":
                guards.add(task["Name"])
            elif not lifecycle:
                workers.add(task["Name"])
    return Rendered(job, frozenset(sidecars), frozenset(guards), frozenset(workers))


def main_tasks(rendered: Rendered) -> dict[str, tuple[str, ...]]:
    """The main tasks of each group of a job, by the group's name."""
    return {
        group["Name"]: tuple(t["Name"] for t in group["Tasks"] if t["Name"] in rendered.workers)
        for group in rendered.job["TaskGroups"]
    }
