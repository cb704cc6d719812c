"""A site: all that a scenario sees of the place that it runs in. A scenario does not know which it is."""

from typing import Protocol

from harness.job.example import Example
from harness.management.nomad import NomadClient
from harness.site.internet import Internet
from harness.site.job_run import Claims, JobRun
from harness.site.tailnet import Tailnet


class Site(Protocol):
    """Nomad, a tailnet and an internet, with jobs to run there."""

    @property
    def nomad(self) -> NomadClient:
        """The API of its Nomad servers."""

    @property
    def tailnet(self) -> Tailnet:
        """Its tailnet."""

    @property
    def internet(self) -> Internet:
        """Its internet."""

    def run(self, example: Example) -> JobRun:
        """Let a job run; given back once a worker of it has started, or it came to an end before that.

        Raises:
            UsageError: the job cannot be read.
            LabError: it comes to nothing, or the site fails.
        """

    def claims(self, run: JobRun) -> Claims:
        """The verdicts on a run, which is finished when the first is asked for."""

    def close(self) -> None:
        """Finish what still runs; what the site made for scenarios is gone then. Raises LabError."""
