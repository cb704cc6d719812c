"""Where live episodes run: the cluster, the tailnet, the observer, and whose run it is."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UsageError
from harness.job import rendering
from harness.job.example import Example
from harness.job.here import render_here
from harness.job.rendering import Rendered
from harness.job.submission import Submission
from harness.ledger.facts import TailnetNode
from harness.ledger.ledger import Ledger
from harness.live import naming, values
from harness.live.naming import Mark
from harness.live.observer import ObserverClient
from harness.live.settings import Belonging, LiveSettings
from harness.live.shell import Shell
from harness.live.tailnet import Tailnet
from harness.management.consul import ConsulClient
from harness.management.nomad import NomadClient
from harness.management.rest import IssuedKey
from harness.run.progress import Progress
from harness.run.run import Run

_KEY_HOURS = 2
"""A key of the run's own is of no use for long."""


@dataclass(frozen=True)
class Joining:
    """How a job joins the tailnet: by a key of its own that belongs so, under names that begin so."""

    belonging: Belonging
    name: str


@dataclass(frozen=True)
class Prepared:
    """A job of the run that can be registered, and the auth key that was issued for it."""

    rendered: Rendered
    submission: Submission
    key: IssuedKey

    def register(self) -> None:
        """Put the key where the job reads it, and register the job. Raises LabError."""
        self.submission.register(self.key.value)


@dataclass(frozen=True)
class LiveStage:
    """What an episode needs here. Whoever made it closes its parts."""

    settings: LiveSettings
    nomad: NomadClient
    tailnet: Tailnet
    observer: ObserverClient | None
    consul: ConsulClient | None
    shell: Shell
    run: Run
    mark: Mark
    ledger: Ledger
    progress: Progress

    @property
    def namespace(self) -> str:
        """The namespace that every job of the run is in."""
        return self.settings.nomad.namespace

    def submission(
        self, example: Example, variables: Mapping[str, str], purpose: str, *, joins: Joining | None = None
    ) -> Prepared:
        """A job of the run, under an id of its own; nothing is registered yet.

        Its key is issued last: a job that cannot be read leaves none behind.

        Args:
            example: the job, as it stands.
            variables: what it is told.
            purpose: the episode, or what it is for.
            joins: as whose, and under which name, it joins the tailnet; None: it does not.

        Raises:
            UsageError: Nomad cannot read it, it has too many allocations, or reads no auth key.
        """
        told = replace(example, smoke=replace(example.smoke, vars={**example.smoke.vars, **variables}))
        known = values.placeholders(self.settings, example)
        rendered = render_here(told, Path(self.shell.nomad), known)
        if rendered.count > self.settings.allocations:
            raise UsageError(
                f"LIVE_ALLOCATIONS: {example.job_file} asks for {rendered.count} allocations, "
                f"and {self.settings.allocations} are allowed"
            )
        job = naming.job_id(self.run.id, example.name, purpose)
        if joins is None:
            bare = naming.marked(rendered, job=job, mark=self.mark)
            return Prepared(bare, Submission(self.nomad, bare, Bare(self.namespace)), IssuedKey("", ""))
        made = naming.placed(rendered, example, job=job, mark=self.mark)
        key = self.tailnet.issue(joins.belonging, _KEY_HOURS)
        return Prepared(made, Submission(self.nomad, made, Keyed(self, job, key, joins.name)), key)

    def variables(
        self, example: Example, tailnet_name: str, *, exit_absent: bool = False, lying_url: str = ""
    ) -> dict[str, str]:
        """What an example is told here, beside its smoke.toml's [vars], by the site's settings."""
        return values.given(
            self.settings,
            example,
            rendering.variables_of(example),
            tailnet_name=tailnet_name,
            exit_absent=exit_absent,
            lying_url=lying_url,
        )

    def joined(self, name: str) -> tuple[TailnetNode, ...]:
        """The nodes whose names begin so; others come and go on a tailnet that people use."""
        return tuple(n for n in self.tailnet.nodes() if n.name.startswith(name))

    def seconds_left(self) -> int:
        """Seconds until nothing of the run is needed any more."""
        return max(1, self.mark.until - round(time.time()))


class Bare:
    """A place for a job that needs no auth key."""

    def __init__(self, namespace: str) -> None:
        """Take a namespace that is there."""
        self.namespace = namespace

    def prepare(self, nomad: NomadClient, rendered: Rendered, auth_key: str) -> None:
        """Make nothing."""

    def leave(self, nomad: NomadClient) -> None:
        """Remove nothing."""


class Keyed:
    """A place for a job with an auth key, in a Variable that is this job's alone."""

    def __init__(self, stage: LiveStage, job: str, key: IssuedKey, name: str) -> None:
        """Name it; nothing is made yet. `name` is how the job's nodes are called."""
        self.namespace = stage.namespace
        self._stage = stage
        self._path = naming.variable_path(job)
        self._key = key
        self._name = name

    def prepare(self, nomad: NomadClient, rendered: Rendered, auth_key: str) -> None:
        """Write the key into its Variable, with all that `notailcar gc` needs to remove what it leads to."""
        about = {naming.KEY_ITEM: self._key.id, naming.NODE_ITEM: self._name}
        items = {rendered.auth_key.item: auth_key, **self._stage.mark.items, **about}
        nomad.put_variable(self._path, items, self.namespace)

    def leave(self, nomad: NomadClient) -> None:
        """Revoke the key, and remove the Variable: it, last, is what tells of the key."""
        if self._key.id:
            self._stage.tailnet.revoke(self._key.id)
        nomad.delete_variable(self._path, self.namespace)
