"""The result of a command, and the error that it becomes."""

import pytest

from harness.errors import LabError
from harness.management.command import CommandResult


def result(code: int, stdout: str = "", stderr: str = "") -> CommandResult:
    return CommandResult("node", ("sh", "-c", "a b"), code, stdout, stderr, 0.1)


def test_what_is_expected_is_given_back() -> None:
    good, odd = result(0), result(3)
    assert good.expect() is good
    assert odd.expect(0, 3) is odd


def test_an_unexpected_code_is_an_error_of_the_lab() -> None:
    with pytest.raises(LabError, match=r"node: `sh -c 'a b'` ended with exit code 1"):
        result(1).expect()
    with pytest.raises(LabError, match="exit code 0"):
        result(0).expect(1)


def test_the_error_has_the_tail_of_what_was_said() -> None:
    lines = "\n".join(f"line {n}" for n in range(40))
    with pytest.raises(LabError) as caught:
        result(1, "stdout", lines).expect()
    assert caught.value.log.splitlines() == [f"line {n}" for n in range(28, 40)]
    with pytest.raises(LabError) as caught:
        result(1, "stdout", " \n").expect()
    assert caught.value.log == "stdout"
