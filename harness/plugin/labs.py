"""The labs of one process: one for each control program, booted when an example first needs it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self

from harness.claims.catalogue import Claim
from harness.errors import NoTailCarError
from harness.job.example import Example
from harness.lab.topology import ControlProgram
from harness.plugin.executions import Executions, Judged
from harness.probes.stage import Stage


class Labs:
    """Owns the labs; a boot that failed is not tried again."""

    def __init__(self, stage: Callable[[ControlProgram], AbstractContextManager[Stage]]) -> None:
        """Boot a lab by entering what `stage` gives; the lab goes when that is left."""
        self._stage = stage
        self._stacks: dict[ControlProgram, ExitStack] = {}
        self._ready: dict[ControlProgram, Executions] = {}
        self._failed: dict[ControlProgram, NoTailCarError] = {}

    def discard(self, program: ControlProgram) -> None:
        """Remove the lab with this control program, as nobody knows how it stands: the next is a new one."""
        self._ready.pop(program, None)
        if program in self._stacks:
            self._stacks.pop(program).close()

    def executions(self, program: ControlProgram) -> Executions:
        """What is run in the lab with this control program. Raises LabError or UsageError."""
        if first := self._failed.get(program):
            # Without the way that it came before, to which each raising would add its own.
            raise first.with_traceback(None)
        if program not in self._ready:
            try:
                stack = ExitStack()
                stage = stack.enter_context(self._stage(program))
                self._stacks[program] = stack
                self._ready[program] = Executions(stage)
            except NoTailCarError as error:
                self._failed[program] = error
                raise
        return self._ready[program]

    def judge(self, claim: Claim, example: Example) -> Judged:
        """Judge an example in the lab that has the control program it needs. Raises LabError, UsageError."""
        return self.executions(example.control_program).judge(claim, example)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Side by side, as nobody waits for one to be gone but all.
        with ThreadPoolExecutor(max(1, len(self._stacks)), thread_name_prefix="labs") as pool:
            closed = [pool.submit(stack.close) for stack in self._stacks.values()]
        with ExitStack() as raising:
            for each in closed:
                raising.callback(each.result)
