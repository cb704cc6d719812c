"""An example: a folder with a job and its smoke.toml, the promises that the job makes."""

from dataclasses import dataclass, field
from pathlib import Path

from harness import toml_file
from harness.errors import UsageError
from harness.lab.topology import ControlProgram

JOB_SUFFIX = ".nomad.hcl"
SMOKE = "smoke.toml"
KINDS = ("egress", "serve")
_CONVERTER = toml_file.converter()


@dataclass(frozen=True)
class EgressPromise:
    """`[egress]`: the only hosts that its traffic may leave by."""

    via: tuple[str, ...]
    fallback: tuple[str, ...] = ()
    confined: bool = False
    names: tuple[str, ...] = ()
    """Public names that the job speaks to; in the lab they lead to the echo service."""


@dataclass(frozen=True)
class ServePromise:
    """`[[serve]]`: one thing served, and how it answers."""

    url: str = ""
    tcp: str = ""
    send: str = ""
    service: str = ""
    status: int = 200
    contains: str = ""


@dataclass(frozen=True)
class AuthKeyPlace:
    """`[auth_key]`: where the job reads its auth key."""

    variable: str = "nomad/jobs/notailcar/example/secrets"
    """The path of the Nomad Variable; as it stands by default, that of the examples."""
    item: str = "TS_AUTHKEY"


EXAMPLES_KEY = AuthKeyPlace()
"""Where the examples read it."""


@dataclass(frozen=True)
class Smoke:
    """smoke.toml, as it is written."""

    kind: str
    tags: tuple[str, ...] = ()
    var_files: tuple[str, ...] = ()
    vars: dict[str, str] = field(default_factory=dict)
    egress: EgressPromise | None = None
    serve: tuple[ServePromise, ...] = ()
    auth_key: AuthKeyPlace = EXAMPLES_KEY
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    """What else the job reads from Nomad Variables: items by path. Made up, as the lab knows no real ones."""


@dataclass(frozen=True)
class Example:
    """A job with its promises, and where it stands."""

    name: str
    folder: Path
    job_file: Path
    smoke: Smoke

    @property
    def control_program(self) -> ControlProgram:
        """The control program that it needs: headscale has neither Services nor HTTPS certificates."""
        beyond = any(p.service or p.url.startswith("https:") for p in self.smoke.serve)
        return ControlProgram.LABCONTROL if beyond else ControlProgram.HEADSCALE

    @property
    def smoke_file(self) -> Path:
        """The file that the promises were read from, or would be written to."""
        return self.folder / SMOKE


def find(root: Path) -> list[Example]:
    """Every example of a place. Raises UsageError when there is none.

    Args:
        root: a folder whose subfolders with a smoke.toml are examples; or one example, by its folder or job.
    """
    if root.is_file() and root.name.endswith(JOB_SUFFIX):
        return [load(root.parent)]
    if not root.is_dir():
        raise UsageError(
            f"{root}: there is no such folder of examples", remedy="name one with --examples PATH"
        )
    if (root / SMOKE).is_file():
        return [load(root)]
    found = [load(file.parent) for file in sorted(root.glob(f"*/{SMOKE}"))]
    if not found:
        bare = [*root.glob(f"*{JOB_SUFFIX}"), *root.glob(f"*/*{JOB_SUFFIX}")]
        raise UsageError(
            f"{root}: no example here",
            remedy=f"there is a job without a {SMOKE}: `notailcar test {min(bare)}` proposes one"
            if bare
            else f"an example is a subfolder with one *{JOB_SUFFIX} and a {SMOKE}",
        )
    return found


def load(folder: Path) -> Example:
    """Read one example. Raises UsageError naming the file and the key."""
    smoke = read_smoke(folder / SMOKE)
    jobs = sorted(folder.glob(f"*{JOB_SUFFIX}"))
    if len(jobs) != 1:
        names = ", ".join(j.name for j in jobs) or "none"
        raise UsageError(f"{folder}: an example has exactly one *{JOB_SUFFIX}; here: {names}")
    for name in smoke.var_files:
        if not (folder / name).is_file():
            raise UsageError(f"{folder / SMOKE}: var_files names {name}, which is not in {folder}")
    return Example(folder.name, folder, jobs[0], smoke)


def read_smoke(file: Path) -> Smoke:
    """Read a smoke.toml. Raises UsageError naming the file, the key and its line."""
    smoke = toml_file.load(
        file,
        Smoke,
        _CONVERTER,
        called="file",
        remedy="the keys are described in README.md, under smoke.toml",
    )
    if smoke.kind not in KINDS:
        raise UsageError(f"{file}: kind is {smoke.kind!r}", remedy=f"it is one of {', '.join(KINDS)}")
    if smoke.kind == "egress" and not (smoke.egress and smoke.egress.via):
        raise UsageError(f"{file}: kind is egress, and there is no [egress] with an exit in via = [...]")
    if smoke.kind == "serve" and not smoke.serve:
        raise UsageError(f"{file}: kind is serve, and there is no [[serve]]")
    return smoke
