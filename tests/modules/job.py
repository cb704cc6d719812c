"""A job file as Nomad itself reads it: every variable put in, as data."""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.toolkit import programs
from tests.toolkit.programs import REPOSITORY

Job = dict[str, Any]


def nomad(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Nomad's command line at the repository's root, where `file()` looks; no agent is asked."""
    return subprocess.run(
        [programs.find("nomad"), *arguments],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "NOMAD_ADDR": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def render(file: Path, variables: Mapping[str, str], var_files: Iterable[Path] = ()) -> Job:
    """Give a job as data. Fails the test, with Nomad's own words, where it cannot be read."""
    done = nomad(
        "job",
        "run",
        "-output",
        *(f"-var-file={var_file}" for var_file in var_files),
        *(f"-var={name}={value}" for name, value in variables.items()),
        file,
    )
    assert done.returncode == 0, f"{file}: {done.stderr}"
    job: Job = json.loads(done.stdout)["Job"]
    return job


def flat(data: object, path: str = "") -> dict[str, object]:
    """Flatten data to one value a path, such as `Env.TAILNET_NAME` or `Templates.0.Perms`."""
    if isinstance(data, dict) and data:
        items: Iterable[tuple[object, object]] = data.items()
    elif isinstance(data, list) and data:
        items = enumerate(data)
    else:
        return {path: data}
    return {
        deep: value
        for key, inner in items
        for deep, value in flat(inner, f"{path}.{key}" if path else str(key)).items()
    }
