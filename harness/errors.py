"""The two ways a run ends without a verdict, each with the exit code of the contract.

A product fault is neither: it is a claim refuted, and an AssertionError in the scenario.
"""

EXIT_PROVEN = 0
EXIT_REFUTED = 1
EXIT_USAGE = 2
EXIT_LAB = 3


class NoTailCarError(Exception):
    """An error with a way out: what is wrong, and what the person can do about it."""

    exit_code = EXIT_LAB

    def __init__(self, problem: str, *, remedy: str = "", log: str = "") -> None:
        """Keep the parts apart, so that a report can show the log folded.

        Args:
            problem: one sentence that names the file, key, host or command.
            remedy: what to do about it, as an instruction.
            log: the tail of what the failing part printed, already free of secrets.
        """
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.log = log

    def __str__(self) -> str:
        parts = [self.problem]
        if self.log:
            parts.append("\n".join(f"    | {line}" for line in self.log.strip().splitlines()))
        if self.remedy:
            parts.append(f"  -> {self.remedy}")
        return "\n".join(parts)


class UsageError(NoTailCarError):
    """What the person gave is wrong: a file, a key, an option, a setting (exit code 2)."""

    exit_code = EXIT_USAGE


class LabError(NoTailCarError):
    """The lab itself failed, so nothing can be said about the product (exit code 3)."""

    exit_code = EXIT_LAB
