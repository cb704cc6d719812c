"""One run of a job in a lab, and the verdicts on it."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

from harness.claims.catalogue import CLAIMS, Claim
from harness.claims.verdict import Outcome, Verdict
from harness.job.example import Example
from harness.job.submission import started
from harness.ledger.facts import TaskLog
from harness.ledger.ledger import History
from harness.management.nomad import Allocation
from harness.plugin.executions import Executions
from harness.probes.as_it_stands import Execution
from harness.probes.stage import Stage
from harness.site.job_run import JobRun

_START_SECONDS = 60


class LabRun:
    """Owns an execution of a job as it stands; what its scenario does meanwhile is a part of it."""

    def __init__(self, stage: Stage, example: Example) -> None:
        """Describe it; nothing runs before `begin`."""
        self.example = example
        self._stage = stage
        self._stack = ExitStack()
        self._over = False
        self._registered = False
        self._last: list[Allocation] = []

    def begin(self) -> None:
        """Send the controls, register the job, wait until a worker of it runs or it has ended."""
        shown = self._stack.enter_context(
            self._stage.progress.stage(self.example.name, "runs, for a scenario")
        )
        try:
            self._execution = self._stack.enter_context(Execution(self._stage, self.example, shown.update))
            self._execution.begin()
            self._registered = True
            pool = self._stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="following"))
            self._following: Future[None] = pool.submit(self._execution.follow)
            works = started(self._execution.rendered.workers)
            self._execution.submission.wait(lambda a: a.over or works(a), _START_SECONDS)
        except BaseException:
            self.close()
            raise

    @property
    def namespace(self) -> str:
        """The Nomad namespace that it runs in."""
        return self._execution.submission.namespace

    @property
    def history(self) -> History:
        """What was observed so far."""
        return self._stage.ledger.history(self.example.name)

    @property
    def execution(self) -> Execution:
        """The execution itself."""
        return self._execution

    def allocations(self) -> list[Allocation]:
        """Its allocations, as Nomad has them now; of one that is over, as they were when its work ended."""
        if self._over:
            return self._last
        return self._stage.lab.node.nomad.allocations(self.namespace)

    def log(self, task: str) -> str:
        """What a task has printed so far, in all of its allocations; of one that is over, the end of it."""
        if self._over:
            logs = [log for _, log in self.history.of(TaskLog)]
            return "".join(log.text for log in logs if log.task == task)
        nomad = self._stage.lab.node.nomad
        streams = [nomad.log(a.id, task, s) for a in self.allocations() for s in ("stdout", "stderr")]
        return "".join(streams)

    def finish(self) -> None:
        """Wait for the end of its work, ask for what it serves, read the observers, stop it."""
        if self._over:
            return
        self._over = True
        try:
            self._following.result()
            self._last = self._execution.submission.allocations()
            self._execution.end()
        finally:
            self._stack.close()

    def close(self) -> None:
        """Stop it, wherever it is; who did not ask what it came to is not told."""
        if self._over:
            return
        self._over = True
        if self._registered:
            # Purged before its follower is waited for, who sees it and ends.
            self._execution.submission.close()
        self._stack.close()


class LabClaims:
    """The verdicts on one run."""

    def __init__(self, executions: Executions, run: JobRun) -> None:
        """Take a run of this lab."""
        if not isinstance(run, LabRun):
            raise TypeError("this run is of another site")
        self._executions = executions
        self._run = run
        self._made: dict[str, Claim] = {c.id: c for c in CLAIMS if not c.absence(run.example.smoke)}

    def __iter__(self) -> Iterator[str]:
        """The ids of all claims that are made of this job."""
        return iter(self._made)

    def __getitem__(self, claim: str) -> Verdict:
        """The verdict on one claim; one that rests on further episodes has them run."""
        if claim not in self._made:
            raise KeyError(f"{claim} is not claimed of {self._run.example.name}; {', '.join(self._made)} are")
        self._run.finish()
        self._executions.adopt(self._run.example, self._run.execution.rendered)
        return self._executions.judge(self._made[claim], self._run.example).verdict

    def assert_proven(self, *claims: str) -> None:
        """Fail the scenario unless these claims are proven; without any named, all."""
        __tracebackhide__ = True
        verdicts = {claim: self[claim] for claim in claims or tuple(self._made)}
        failed = [
            f"{c}: {v.outcome}: {v.reason}" for c, v in verdicts.items() if v.outcome is not Outcome.PROVEN
        ]
        if failed:
            raise AssertionError("\n".join(failed))
