"""What befalls the Nomad client: its agent, or the whole machine."""

from harness.errors import LabError
from harness.faults.fault import SHOWN_SECONDS, Fault
from harness.lab.running_host import FILES
from harness.management.nomad import Allocation
from harness.management.waiting import wait_until

_PID = "/run/nomad.pid"


class _AgentFault(Fault):
    _was = ""

    def _agent(self) -> str:
        return self.scene.lab.node.host.run("cat", _PID).expect().stdout.strip()

    def _until_it_answers(self) -> None:
        wait_until(
            lambda: self._agent() != self._was and self.scene.lab.node.nomad.reachable(),
            seconds=SHOWN_SECONDS,
            what="another Nomad agent answers and has a leader",
        )

    def heal(self) -> str:
        """It has been started again."""
        return "nothing was done: the agent is there again"


class Restarted(_AgentFault):
    """The Nomad agent crashes and is started again; what runs goes on running."""

    name = "nomad-restarted"
    title = "the Nomad agent was killed and started again"

    def inject(self) -> str:
        """SIGKILL; the node starts it again."""
        self._was = self._agent()
        self.scene.lab.node.host.run("sh", "-c", 'kill -KILL "$0"', self._was).expect()
        return "the Nomad agent was killed"

    def shown(self) -> str:
        """Another agent answers."""
        self._until_it_answers()
        return f"another Nomad agent answers, process {self._agent()} instead of {self._was}"


class Rebooted(_AgentFault):
    """The Nomad client's machine reboots. Nomad does not run a prestart guard again (its issue 9840)."""

    name = "node-rebooted"
    title = "the Nomad client's machine was rebooted"

    def inject(self) -> str:
        """End every process of the agent and of its tasks; start the agent again."""
        self._was = self._agent()
        self.scene.lab.node.host.run(f"{FILES}/reboot.sh").expect()
        return "the Nomad client's machine was rebooted"

    def shown(self) -> str:
        """Another agent answers, and has decided what becomes of the allocation."""
        self._until_it_answers()
        decided = wait_until(self._decided, seconds=SHOWN_SECONDS, what="Nomad restarts a task, or gives up")
        return f"another Nomad agent answers; the allocation is {decided.status}"

    def _decided(self) -> Allocation | None:
        try:
            found = self.scene.lab.node.nomad.allocations(self.scene.namespace)
        except LabError:
            # It answers before its client is ready to.
            return None
        mine = next((a for a in found if a.id == self.scene.allocation.id), None)
        if mine is None:
            return None
        return mine if mine.over or any(t.restarts for t in mine.tasks) else None


FAULTS: tuple[type[Fault], ...] = (Restarted, Rebooted)
