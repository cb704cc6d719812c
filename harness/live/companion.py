"""Jobs of the harness's own beside a person's: a member of the tailnet to ask from, a witness on a client."""

import json
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from harness.errors import LabError, UsageError
from harness.job.example import Example, Smoke
from harness.live import naming
from harness.live.settings import Belonging
from harness.live.stage import Joining, LiveStage, Prepared
from harness.management.nomad import Allocation
from harness.management.waiting import wait_until
from harness.run import places

_READY_SECONDS = 60
_PAUSE = 0.2
_SOCKET = "/local/tailscale/tailscaled.sock"
"""Of a member's tailscaled, in its container (fixtures/live/member.sh)."""
_REFUSED_KEY = ("invalid key", "authkey", "auth key", "key not found", "expired")
"""What tailscaled says, by the control server's word, of a key that it does not take."""


def _described(name: str, kind: str) -> Example:
    folder = places.fixtures() / "live"
    return Example(name, folder, folder / f"{kind}.nomad.hcl", Smoke(kind="serve"))


class Companion:
    """Owns one such job, from its registration until its one task is ready, to its purge."""

    def __init__(self, stage: LiveStage, job: Prepared, task: str, ready: str) -> None:
        """Describe it; nothing is registered before it is entered.

        Args:
            stage: where it runs.
            job: it, with the auth key that it joins the tailnet by, where it does.
            task: its task.
            ready: what the task prints when it is ready.
        """
        self.stage = stage
        self.task = task
        self.allocation = ""
        self._job = job
        self._ready = ready

    def __enter__(self) -> Self:
        try:
            self._job.register()
            found = self._job.submission.wait(lambda a: a.over or _runs(a, self.task), _READY_SECONDS)
            self.allocation = found.id
            wait_until(
                self._said,
                seconds=_READY_SECONDS,
                what=f"the harness's own {self.task} is ready",
                pause=_PAUSE,
                tail=self._log,
            )
        except BaseException:
            self._job.submission.close()
            raise
        return self

    def _said(self) -> bool:
        text = self._log()
        if self._ready in text:
            return True
        (state,) = [a for a in self._job.submission.allocations() if a.id == self.allocation]
        if state.over:
            raise self._ended(text)
        return False

    def _ended(self, text: str) -> UsageError | LabError:
        lines = "\n".join(text.splitlines()[-8:])
        if any(words in text.lower() for words in _REFUSED_KEY) and self.stage.settings.tailnet.auth_key:
            return UsageError("TAILNET_AUTH_KEY_FILE: the control server does not take this key", log=lines)
        return LabError(f"the harness's own {self.task} ended before it was ready", log=lines)

    def _log(self) -> str:
        return "".join(
            self.stage.nomad.log(self.allocation, self.task, stream) for stream in ("stderr", "stdout")
        ).replace(self._job.key.value or "\0", "[auth key]")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Stopped first, and waited for: a member logs out, and is gone from the tailnet.
        try:
            self._job.submission.stop()
        finally:
            self._job.submission.close()


class Member(Companion):
    """A member of the tailnet, on some client of the cluster: client or stranger."""

    def __init__(self, stage: LiveStage, name: str, belonging: Belonging) -> None:
        """Describe it: `name` is what the ledger calls it. Raises UsageError, LabError."""
        self.name = name
        node = naming.tailnet_name(stage.run.id, name, "")
        joins = Joining(belonging, node)
        variables = {
            "login_server": stage.settings.tailnet.login_server,
            "tailnet_name": node,
            "seconds": str(stage.seconds_left()),
        }
        job = stage.submission(_described(name, "member"), variables, "member", joins=joins)
        super().__init__(stage, job, "member", "member: joined")

    def tailscale(self, *arguments: str) -> tuple[str, ...]:
        """The tailscale command in its container."""
        return ("tailscale", f"--socket={_SOCKET}", *arguments)

    def version(self) -> str:
        """The version of its tailscaled. Raises LabError."""
        said = self.stage.shell.run(
            self.allocation, self.task, *self.tailscale("version", "--daemon", "--json")
        )
        return str(json.loads(said.expect().stdout).get("short", ""))


class Witness(Companion):
    """Somebody on the client that a job runs on: for observers to see, and outsiders to reach."""

    def __init__(self, stage: LiveStage, node: str) -> None:
        """Describe it, on a client of this id. Raises UsageError."""
        variables = {"node": node, "seconds": str(stage.seconds_left())}
        example = _described(f"witness-{node[:8]}", "witness")
        job = stage.submission(example, variables, "witness")
        super().__init__(stage, job, "witness", "witness: listens")

    def port(self) -> int:
        """Where it listens, on every address of the client."""
        return self.stage.nomad.ports(self.allocation)[0]

    def go_out(self, token: str, urls: Sequence[str]) -> list[dict[str, str]]:
        """Ask each URL once, directly from the client; what was answered, or why nothing was.

        Raises LabError when it cannot ask at all.
        """
        argv = ("python3", "/local/witness.py", "out", token, *urls)
        said = self.stage.shell.run(self.allocation, self.task, *argv).expect()
        answers: list[dict[str, str]] = json.loads(said.stdout)
        return answers


def _runs(allocation: Allocation, task: str) -> bool:
    state = allocation.task(task)
    return state is not None and state.started
