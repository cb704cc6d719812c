"""A live site, from its settings to ready: reached, checked, swept; and in the end nothing is left."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from harness.errors import LabError
from harness.job.example import Example
from harness.job.rendering import fill, root_of
from harness.lab.topology import CLIENT
from harness.ledger.ledger import Ledger
from harness.live import naming, preflight, reaching, settings, sweep, tailnet, values
from harness.live.companions import Companions
from harness.live.executions import LiveExecutions
from harness.live.naming import Mark
from harness.live.observer import ObserverClient
from harness.live.settings import LiveSettings
from harness.live.shell import Shell
from harness.live.stage import LiveStage
from harness.management.nomad import NomadClient
from harness.run.progress import Progress
from harness.run.run import Run

_RUN_SECONDS = 2 * 3600
"""After so long, nothing of a run is needed any more, whoever finds it."""


@dataclass(frozen=True)
class ReadySite:
    """A live site that is ready: what runs examples there, and what the report says of it."""

    executions: LiveExecutions
    companions: Companions
    stage: LiveStage

    @property
    def where(self) -> str:
        """The cluster and the tailnet, for people."""
        told = self.stage.settings
        return f"{told.nomad.address}, {told.tailnet.login_server}"

    def versions(self) -> dict[str, str]:
        """What runs there, as far as anybody says. Raises LabError."""
        found = {"nomad": ", ".join(self.stage.nomad.node_versions())}
        if member := self.companions.member(CLIENT):
            found["tailscale"] = member.version()
        return {name: version for name, version in found.items() if version}


@contextmanager
def ready_site(run: Run, ledger: Ledger, progress: Progress) -> Iterator[ReadySite]:
    """The live site of this process's environment, which was checked before, for the time of the block.

    Raises LabError for what does not answer, UsageError for what a server says to be wrong only now.
    """
    told = settings.read(os.environ)
    shell = Shell(told.nomad)
    with _opened(told) as (nomad, members, observer):
        progress.note(f"live site: {told.nomad.address}, {told.tailnet.login_server}")
        if gone := sweep.swept(nomad, members, told.nomad.namespace):
            progress.note(gone)
        stage = LiveStage(
            settings=told,
            nomad=nomad,
            tailnet=members,
            observer=observer,
            consul=reaching.consul(told),
            shell=shell,
            run=run,
            mark=Mark(run.id, naming.machine(), round(time.time()) + _RUN_SECONDS),
            ledger=ledger,
            progress=progress,
        )
        try:
            with Companions(stage) as companions:
                yield ReadySite(LiveExecutions(stage, companions), companions, stage)
        except LabError as error:
            raise LabError(
                error.problem,
                remedy=error.remedy or "what is left there is removed by: notailcar gc --site live",
                log=error.log,
            ) from error


def check(told: LiveSettings) -> None:
    """Find out whether the settings are right, with no patience: at once. Raises UsageError, LabError."""
    with _opened(told, patience=0) as (nomad, members, observer):
        preflight.check(told, nomad, members, observer)


def check_all(examples: Sequence[Example]) -> None:
    """Refuse, before anything starts, what is wrong with the settings, or lacking for these examples.

    Raises UsageError, naming the setting; LabError for a server that answers, and is ill.
    """
    told = settings.read(os.environ)
    Shell(told.nomad)
    for example in examples:
        fill(example.smoke.vars, values.placeholders(told, example), example.smoke_file)
        root_of(example)
    check(told)


def collect_garbage(environment: Mapping[str, str]) -> list[str]:
    """Remove what dead runs left on the site of these settings; gives what. Raises UsageError, LabError."""
    told = settings.read(environment)
    check(told)
    with _opened(told) as (nomad, members, _):
        return sweep.sweep(nomad, members, told.nomad.namespace)


@contextmanager
def _opened(
    told: LiveSettings, *, patience: float = reaching.PATIENCE_SECONDS
) -> Iterator[tuple[NomadClient, tailnet.Tailnet, ObserverClient | None]]:
    nomad = reaching.nomad(told.nomad, patience=patience)
    members = tailnet.of(told.tailnet, patience=patience)
    observer = None
    try:
        if told.observer:
            observer = ObserverClient(
                told.observer.url, told.observer.token, verify=told.observer.cacert or True
            )
        yield nomad, members, observer
    finally:
        if observer:
            observer.close()
        members.close()
        nomad.close()
