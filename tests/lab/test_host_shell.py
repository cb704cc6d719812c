"""Commands by shells that stay: each has its own streams and end, and a shell that is gone is no answer."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from harness.errors import LabError
from harness.lab.running_host import RunningHost
from harness.management.waiting import wait_until
from tests.management.conftest import host

__all__ = ["host"]
pytestmark = pytest.mark.lab
WHOSE = ("sh", "-c", "echo $PPID")


def test_one_shell_runs_what_comes_one_after_the_other(host: RunningHost) -> None:
    assert len({host.run(*WHOSE).stdout for _ in range(5)}) == 1


def test_what_comes_at_once_has_shells_of_its_own(host: RunningHost) -> None:
    together = Barrier(3)

    def ask(_: int) -> str:
        together.wait(10)
        return host.run("sh", "-c", "sleep 0.5; echo $PPID").stdout

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(ask, range(3)))) == 3


def test_each_command_has_its_own_words_and_environment(host: RunningHost) -> None:
    first = host.run("sh", "-c", "printf out; printf err >&2; exit 3", environment={"WORD": "it's\nthis"})
    assert (first.exit_code, first.stdout, first.stderr) == (3, "out", "err")
    told = host.run("sh", "-c", 'printf "%s" "$WORD"', environment={"WORD": "it's\nthis $0 `id` é"})
    assert (told.stdout, told.stderr) == ("it's\nthis $0 `id` é", "")
    assert host.run("sh", "-c", 'echo "${WORD-none}"').stdout == "none\n"


def test_an_argument_is_no_shell_text(host: RunningHost) -> None:
    odd = ("a b", "", "$(id)", "'", '"', "\n", "; exit 9", "*", "é")
    assert host.run("printf", "[%s]", *odd).stdout == "".join(f"[{each}]" for each in odd)


def test_an_environment_is_in_no_command_line(host: RunningHost) -> None:
    # One that has ended meanwhile has none.
    look = "cat /proc/[0-9]*/cmdline 2>/dev/null; true"
    looked = host.run("sh", "-c", look, environment={"WORD": "unseen"}).expect().stdout
    assert "cmdline" in looked
    assert "unseen" not in looked


def test_a_shell_that_went_away_meanwhile_is_replaced(host: RunningHost) -> None:
    shell = host.run(*WHOSE).stdout.strip()
    stream = host.open("sh", "-c", 'kill -9 "$0"; while kill -0 "$0"; do :; done 2> /dev/null', shell)
    assert stream.read(1, timeout=10) == b""
    stream.close()
    # For a moment the engine may not have told of its end: then it is no answer.
    wait_until(
        lambda: host.run(*WHOSE).stdout.strip() != shell,
        seconds=10,
        what="another shell answers",
        transient=(LabError,),
    )


def test_a_shell_that_ends_with_a_command_is_an_error_and_no_answer(host: RunningHost) -> None:
    with pytest.raises(LabError, match="alone: cannot run sh: the shell that ran it has ended"):
        host.run("sh", "-c", 'echo half; kill -9 "$PPID"')
    assert host.run("echo", "whole").stdout == "whole\n"


def test_a_command_that_says_nothing_is_not_waited_for_for_ever(host: RunningHost) -> None:
    with pytest.raises(LabError, match="printed nothing for"):
        host.run("sleep", "100", silence=0.2)
    assert host.run("echo", "next").stdout == "next\n"
