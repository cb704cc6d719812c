"""The lab as a site."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from harness.errors import UsageError
from harness.job.example import Example
from harness.job.images import named_images
from harness.job.reading import check_variables
from harness.lab.lab import Lab
from harness.lab.topology import CLIENT, Role
from harness.ledger.facts import AttemptSeen, FlowSeen, RequestSeen, TailnetNode, Way
from harness.management.nomad import NomadClient
from harness.plugin.executions import Executions
from harness.probes import watch
from harness.probes.asking import FULL_NAME, Ask, ask
from harness.site.internet import Mark
from harness.site.job_run import Claims, JobRun
from harness.site.lab_run import LabClaims, LabRun


class LabTailnet:
    """The tailnet of a lab, over its control server and the hosts that are members of it."""

    def __init__(self, lab: Lab) -> None:
        """Take a lab that is up."""
        self._lab = lab

    @property
    def domain(self) -> str:
        """The domain of its names."""
        return self._lab.topology.tailnet_domain

    @property
    def login_server(self) -> str:
        """The URL of its control server."""
        return self._lab.control.login_server

    def nodes(self) -> tuple[TailnetNode, ...]:
        """Every node, as the control server has it now."""
        return self._lab.control.client.nodes()

    def create_key(self, *tags: str) -> str:
        """Make an auth key: ephemeral, reusable, with these tags."""
        return self._lab.control.client.create_key(tags=tags, ephemeral=True, reusable=True)

    def ask(self, url: str, *, by: str = CLIENT, send: str = "", awaits: str = "") -> AttemptSeen:
        """Let a member ask, by its own tailscaled."""
        (seen,) = ask(
            self._lab.host(by), [Ask(Way.TAILNET, url, FULL_NAME, _port(url), send=send, awaits=awaits)]
        )
        return seen


def _port(url: str) -> int:
    scheme, _, rest = url.partition("://")
    port = rest.partition("/")[0].rpartition(":")[2]
    return int(port) if port.isdecimal() else {"https": 443}.get(scheme, 80)


class LabInternet:
    """The internet of a lab: the echo service, and the router's flow book."""

    def __init__(self, lab: Lab) -> None:
        """Take a lab that is up."""
        self._lab = lab

    @property
    def url(self) -> str:
        """The URL of the echo service."""
        return f"http://{self._lab.topology.only(Role.ECHO).names[0]}/"

    def mark(self) -> Mark:
        """Read every observer once."""
        with ThreadPoolExecutor(3, thread_name_prefix="mark") as pool:
            return Mark(watch.mark(self._lab, pool))

    def requests(self, since: Mark) -> tuple[RequestSeen, ...]:
        """What the echo service saw after a mark."""
        return tuple(line.request for line in self._lab.echo.seen()[_of(since).requests :])

    def flows(self, since: Mark) -> tuple[FlowSeen, ...]:
        """What came in by the wire of the Nomad node after a mark."""
        node = self._lab.topology.only(Role.NODE).name
        flows, _ = self._lab.router.flows().since(_of(since).flows)
        return tuple(flow for flow in flows if flow.wire == node)


def _of(mark: Mark) -> watch.Mark:
    if not isinstance(mark.kept, watch.Mark):
        raise TypeError("this mark was made by another site")
    return mark.kept


class LabSite:
    """A lab as a scenario sees it. Owns the runs of scenarios, and removes what they leave.

    Attributes:
        lab: the lab itself, for faults of one's own: hosts, router, members.
        nomad, tailnet, internet: its parts.
    """

    def __init__(self, executions: Executions) -> None:
        """Take a lab with what is run in it."""
        self.lab = executions.stage.lab
        self.nomad: NomadClient = self.lab.node.nomad
        self.tailnet = LabTailnet(self.lab)
        self.internet = LabInternet(self.lab)
        self._executions = executions
        self._names: dict[str, int] = {}
        self._runs: list[LabRun] = []

    def run(self, example: Example) -> LabRun:
        """Let a job run, with the controls of every observer before it."""
        self._require(example)
        number = self._names[example.name] = self._names.get(example.name, 0) + 1
        # Each run has a history of its own.
        own = example if number == 1 else replace(example, name=f"{example.name}-{number}")
        run = LabRun(self._executions.stage, own)
        self._runs.append(run)
        run.begin()
        return run

    def _require(self, example: Example) -> None:
        """Refuse what this lab was not brought up for. Raises UsageError."""
        known = {name for host in self.lab.topology.hosts for name in host.all_names}
        lacking = [n for n in (example.smoke.egress.names if example.smoke.egress else ()) if n not in known]
        rendered = self._executions.stage.render(example)
        check_variables(example, rendered)
        text = example.job_file.read_text(encoding="utf-8")
        for named in named_images(rendered, example.job_file, text):
            if self.lab.node.host.run("docker", "image", "inspect", named.image).exit_code:
                lacking.append(f"{named.image} ({named.where})")
        if lacking:
            raise UsageError(
                f"{example.job_file}: needs what this lab was not brought up with: {', '.join(lacking)}",
                remedy=f"name the folder of your jobs: pytest --examples {example.folder.parent.name} ...",
            )
        if example.control_program is not self.lab.topology.program:
            raise UsageError(
                f"{example.smoke_file}: by HTTPS or as a Service it needs {example.control_program}, "
                f"and this lab has {self.lab.topology.program}",
                remedy="prove it by `notailcar test` or `pytest --examples`, or let it serve by http here",
            )

    def claims(self, run: JobRun) -> Claims:
        """The verdicts on a run, by what was observed of it, and of what further episodes they need."""
        return LabClaims(self._executions, run)

    def close(self) -> None:
        """Stop what still runs, one after the other; the first failure is raised when all are gone."""
        failures = []
        for run in self._runs:
            try:
                run.close()
            except Exception as error:  # noqa: BLE001 - one that fails keeps no other from going
                failures.append(error)
        self._runs.clear()
        if failures:
            raise failures[0]
