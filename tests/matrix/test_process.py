"""A cell's process: what it prints is kept, and it ends by its own way."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from harness.matrix.process import run, scenarios
from harness.run.interrupts import Interrupts

REPOSITORY = Path(__file__).resolve().parents[2]
WAITS = """
import signal, sys, time
from pathlib import Path
try:
    print("running", flush=True)
    signal.pause()
except KeyboardInterrupt:
    Path(sys.argv[1]).write_text("removed what it made")
    print("removed", flush=True)
    sys.exit(2)
"""


def python(text: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text), *arguments]


def test_lines_come_as_they_are_printed_and_are_kept(tmp_path: Path) -> None:
    seen: list[str] = []
    text = "import os, sys; print('one\\n'); print(os.environ['SAID'], file=sys.stderr); sys.exit(3)"
    ended = run(python(text), tmp_path / "log", {"SAID": "two"}, seen.append)
    assert (ended.exit_code, ended.last, ended.interrupted) == (3, "two", False)
    assert seen == ["one", "two"]
    assert (tmp_path / "log").read_text().split() == ["one", "two"]


def test_of_a_refusal_the_reason_is_the_last_word(tmp_path: Path) -> None:
    text = "print('== nothing was run ==\\nno such job\\n  -> name one\\n1 deselected')"
    assert run(python(text), tmp_path / "log", {}, lambda _: None).last == "no such job"


def test_of_errors_that_nobody_foresaw_the_last_one_told_is_the_last_word(tmp_path: Path) -> None:
    text = (
        "print('All 2 claims proven\\nERROR test_it[one] - OSError: no\\n=== 2 passed, 1 error in 3 s ===')"
    )
    assert run(python(text), tmp_path / "log", {}, lambda _: None).last == "ERROR test_it[one] - OSError: no"
    text = "print('=== 2 passed ===')"
    assert run(python(text), tmp_path / "log", {}, lambda _: None).last == "2 passed"


def test_ctrl_c_is_passed_on_once_and_the_end_awaited(tmp_path: Path) -> None:
    removed = tmp_path / "removed"

    def on_line(line: str) -> None:
        if line == "running":
            # As the terminal does it, in the midst of the wait for its next line.
            threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    with Interrupts():
        ended = run(python(WAITS, str(removed)), tmp_path / "log", {}, on_line)
    assert ended.interrupted
    assert ended.exit_code == 2
    assert removed.read_text() == "removed what it made"
    assert (tmp_path / "log").read_text().split() == ["running", "removed"]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word on a parent's death")
def test_killed_in_the_midst_its_process_still_removes_what_it_made(tmp_path: Path) -> None:
    removed = tmp_path / "removed"
    ours = f"""
        import sys
        from pathlib import Path
        from harness.matrix.process import run
        run([sys.executable, "-c", {WAITS!r}, {str(removed)!r}], Path({str(tmp_path / "log")!r}), {{}}, print)
    """
    outer = subprocess.Popen(
        [sys.executable, "-u", "-c", textwrap.dedent(ours)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert outer.stdout is not None
    assert outer.stdout.readline() == "running\n"
    inner = next(
        int(p.parent.name)
        for p in Path("/proc").glob("[0-9]*/cmdline")
        if _said(p).endswith(f"{removed}\0") and int(p.parent.name) != outer.pid
    )
    watch = os.pidfd_open(inner)
    try:
        outer.kill()
        outer.wait()
        outer.stdout.close()
        assert _ends_within(watch, 60)
    finally:
        os.close(watch)
    assert removed.read_text() == "removed what it made"


def _said(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _ends_within(pidfd: int, seconds: float) -> bool:
    import select  # noqa: PLC0415

    return bool(select.select([pidfd], [], [], seconds)[0])


def test_the_command_is_pytest_over_the_scenarios() -> None:
    made = scenarios(Path("scenarios"), "nomad=1.10.5", Path("jobs"), "egress", ("-n", "2"))
    assert made[1:] == [
        *(
            "-m",
            "pytest",
            "scenarios",
            "--examples=jobs",
            "--versions=nomad=1.10.5",
            "-k",
            "egress",
            "-n",
            "2",
        ),
    ]
    assert "-k" not in scenarios(Path("scenarios"), "", Path("jobs"), "", ())
