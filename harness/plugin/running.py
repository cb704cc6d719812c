"""Runs jobs for a scenario, and sees to it that they are gone after it."""

from dataclasses import replace
from pathlib import Path

from harness.errors import UsageError
from harness.job import example as examples
from harness.job.example import Example
from harness.site.job_run import JobRun
from harness.site.site import Site


class RunJob:
    """Owns the runs of one scenario."""

    def __init__(self, site: Site, beside: Path) -> None:
        """Run at this site; paths may be relative to the folder `beside`, too."""
        self._site = site
        self._beside = beside

    def __call__(self, job: "str | Path | Example", **variables: str) -> JobRun:
        """Let a job run.

        Args:
            job: an example, or the path of its folder or of its *.nomad.hcl.
            variables: HCL variables of it, over those of its smoke.toml; placeholders are filled.

        Raises:
            UsageError: there is no such job, or it cannot be read.
            LabError: it comes to nothing, or the site fails.
        """
        example = job if isinstance(job, Example) else self._found(Path(job))
        smoke = replace(example.smoke, vars={**example.smoke.vars, **variables})
        return self._site.run(replace(example, smoke=smoke))

    def _found(self, path: Path) -> Example:
        for place in (path.absolute(), (self._beside / path).absolute()):
            if place.exists():
                return examples.load(place.parent if place.is_file() else place)
        raise UsageError(
            f"{path}: there is no such job", remedy=f"looked below {Path.cwd()} and {self._beside}"
        )

    def close(self) -> None:
        """Stop what still runs."""
        self._site.close()
