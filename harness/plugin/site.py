"""Fixtures for scenarios of one's own: a site, its parts, and jobs to run there.

    def test_my_crawler_leaves_by_exit_a(run_job, claims):
        run = run_job("jobs/crawler")
        claims(run).assert_proven("egress.address", "egress.no_direct_packets")

docs/tutorial.md writes a first one, step by step.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.lab.lab import Lab
    from harness.management.nomad import NomadClient
    from harness.plugin.labs import Labs
    from harness.plugin.running import RunJob
    from harness.site.internet import Internet
    from harness.site.job_run import Claims, JobRun
    from harness.site.site import Site
    from harness.site.tailnet import Tailnet


@pytest.fixture(scope="session")
def site(claim_labs: "Labs") -> Iterator["Site"]:
    """Where scenarios run: a lab of this process, brought up by whoever asks for it first."""
    from harness.lab.topology import ControlProgram
    from harness.site.lab_site import LabSite

    made = LabSite(claim_labs.executions(ControlProgram.HEADSCALE))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def lab(site: "Site") -> "Lab":
    """The lab itself: hosts to run commands in, the router, members. For faults of one's own.

    Raises UsageError where scenarios run elsewhere.
    """
    from harness.site.lab_site import LabSite

    if not isinstance(site, LabSite):
        raise UsageError("the fixture `lab` is there in a lab alone", remedy="run this scenario in the lab")
    return site.lab


@pytest.fixture(scope="session")
def nomad(site: "Site") -> "NomadClient":
    """The API of the site's Nomad servers."""
    return site.nomad


@pytest.fixture(scope="session")
def tailnet(site: "Site") -> "Tailnet":
    """The site's tailnet: nodes(), create_key(), ask(url, by="client" or "stranger")."""
    return site.tailnet


@pytest.fixture(scope="session")
def internet(site: "Site") -> "Internet":
    """The site's internet: mark(), requests(since), flows(since)."""
    return site.internet


@pytest.fixture
def run_job(request: pytest.FixtureRequest, site: "Site") -> Iterator["RunJob"]:
    """Run a job: `run_job(path, name=value, ...)` gives a handle on it. It is stopped after the test.

    The path is a folder with a job and its smoke.toml, or the job itself; relative to where pytest was
    called, or else to the test's file. Names and values are variables of the job, over those of smoke.toml.
    """
    from harness.plugin.running import RunJob

    runs = RunJob(site, request.path.parent)
    try:
        yield runs
    finally:
        runs.close()


class ClaimsOf:
    """Gives the verdicts on a run."""

    def __init__(self, site: "Site") -> None:
        """Ask this site."""
        self._site = site

    def __call__(self, run: "JobRun") -> "Claims":
        """The verdicts on a run, which is finished by asking for the first of them."""
        return self._site.claims(run)


@pytest.fixture
def claims(site: "Site") -> ClaimsOf:
    """The verdicts on a job: `claims(run)["egress.address"]`, `claims(run).assert_proven()`."""
    return ClaimsOf(site)
