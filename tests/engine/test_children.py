"""Commands of ours: what they print, how they fail, and that nothing of them is left."""

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.engine.children import CancelledError, Children, CommandError

# A grandchild in a session of its own, which a signal to the process group would miss.
FAMILY = "setsid sleep {0} & echo ready; sleep {0}"
BUILD = """
import sys
from harness.engine.children import Children
with Children() as children:
    children.run(["sh", "-c", sys.argv[1]], on_line=lambda line: print(line, flush=True))
"""


def test_lines_are_told_as_they_come_and_the_tail_is_given() -> None:
    told: list[str] = []
    with Children() as children:
        tail = children.run(["sh", "-c", "echo one; echo two >&2"], on_line=told.append)
    assert told == ["one", "two"]
    assert tail == "one\ntwo"


def test_a_failure_carries_the_log_and_the_code() -> None:
    with Children() as children, pytest.raises(CommandError, match="code 7") as failure:
        children.run(["sh", "-c", "echo this is why; exit 7"])
    assert failure.value.log == "this is why"


def test_a_missing_command_is_named() -> None:
    with Children() as children, pytest.raises(CommandError, match="no-such-command"):
        children.run(["no-such-command"])


def test_cancelling_from_another_thread_ends_all_descendants() -> None:
    marker = "7654.31"
    ready = threading.Event()
    ended: list[BaseException] = []

    def work(children: Children) -> None:
        try:
            children.run(["sh", "-c", FAMILY.format(marker)], on_line=lambda _: ready.set())
        except CancelledError as error:
            ended.append(error)

    with Children() as children:
        thread = threading.Thread(target=work, args=(children,))
        thread.start()
        assert ready.wait(5)
        family = _in_namespace(marker)
        children.cancel()
        thread.join(5)
    assert ended
    assert family
    assert not _in_namespace(marker)
    with pytest.raises(CancelledError):
        children.run(["true"])


def test_a_killed_harness_takes_its_commands_along(tmp_path: Path) -> None:
    marker = "7654.32"
    harness = subprocess.Popen(
        [sys.executable, "-c", BUILD, FAMILY.format(marker)], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert harness.stdout is not None
    assert harness.stdout.readline() == "ready\n"
    assert _in_namespace(marker)
    os.kill(harness.pid, signal.SIGKILL)
    harness.wait()
    # The pipe's end: the last descendant that could hold it is gone.
    assert harness.stdout.read() == ""
    _await_end(marker)


def _in_namespace(marker: str) -> list[int]:
    """Those of the family, by the marker in their commands, in any pid namespace below ours."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and marker.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _await_end(marker: str) -> None:
    for pid in _in_namespace(marker):
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        exit_of = select.poll()
        exit_of.register(handle, select.POLLIN)
        assert exit_of.poll(5000), f"{pid} outlives the harness"
        os.close(handle)
