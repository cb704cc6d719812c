"""The terminal: lines as wide as it, colours only where they are wanted, stages side by side."""

import io
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from harness.claims.verdict import Outcome
from harness.report.entries import ClaimEntry
from harness.report.record import Failure
from harness.report.terminal import Progress, claim_line, console_on, summary
from harness.run.progress import Progress as SupplyProgress
from tests.report import befallen, sample


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def plain(shown: RenderableType, width: int = 120) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(shown)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def entry(verdict: str) -> RenderableType:
    found = next(e for e in sample.record().entries if e.verdict == verdict)
    return claim_line(found, 120, sample.record().names())


def test_a_proven_claim_is_one_line() -> None:
    (line,) = plain(entry("proven"))
    assert re.fullmatch(r"proven +egress\.address +egress-worker +12 requests over .+… +3\.1s", line)


def test_a_refuted_claim_shows_its_first_evidence() -> None:
    lines = plain(entry("refuted"))
    assert lines[1].strip() == "70 of 82 requests came from node (203.0.113.10), which is no exit."
    assert [line.split()[1] for line in lines[2:7]] == ["echo"] * 5
    assert lines[7].strip() == "and 65 more, in the report"


@given(st.integers(40, 250))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for found in sample.record().entries:
        assert all(len(line) <= width for line in plain(claim_line(found, width), width))


def test_the_summary_counts_and_links() -> None:
    text = "\n".join(plain(summary(sample.record(), {"matrix": Path("reports/matrix.html")})))
    assert text.startswith("3 of 12 claims refuted, 8 proven, 1 unproven in 14.8 s")
    assert re.search(r"identity\.tagged +proven +not run$", text, re.MULTILINE)
    assert text.endswith("matrix  reports/matrix.html")


def test_many_examples_have_a_line_each_and_a_symbol_a_claim() -> None:
    record = sample.record()
    many = [
        replace(e, subject=f"example-{i}")
        for i in range(13)
        for e in record.entries
        if e.subject == "egress-worker"
    ]
    lines = plain(summary(replace(record, entries=tuple(many)), {}), 100)
    assert all(len(line) <= 100 for line in lines)
    assert sum(line.startswith("example-") for line in lines) == 13
    (last,) = (line for line in lines if line.startswith("example-12"))
    assert last.split()[1:] == ["✓"] * 7
    assert "egress: address, no_direct_packets, dns, guard_holds" in lines
    assert "✓ proven  ✗ refuted  ? unproven" in lines


def test_one_example_needs_no_table() -> None:
    lines = plain(summary(sample.record(leaky=False), {}))
    assert lines == ["All 7 claims proven in 14.8 s"]


def test_paths_are_links_on_a_terminal() -> None:
    stream = Terminal()
    console_on(stream).print(summary(sample.record(), {"matrix": Path("m.html")}))
    assert f"{Path('m.html').absolute().as_uri()}\x1b\\m.html" in re.sub(
        r"\x1b\[[\d;]*m", "", stream.getvalue()
    )


def test_no_escape_sequence_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    console = console_on(stream)
    with Progress(console) as progress, progress.stage("exit-a", "joins"):
        console.print(entry("refuted"))
    assert "\x1b" not in stream.getvalue()


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    console_on(stream).print(entry("refuted"))
    assert not re.search(r"\x1b\[[\d;]*3\dm", stream.getvalue())


def test_stages_side_by_side_are_each_told_and_timed() -> None:
    stream = io.StringIO()
    together = threading.Barrier(3)
    with Progress(console_on(stream)) as progress:

        def boot(name: str) -> None:
            with progress.stage(name, "boots") as stage:
                stage.update("half way")
                together.wait(5)

        threads = [threading.Thread(target=boot, args=(f"h{i}",)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(s.name for s in progress.stages) == ["h0", "h1", "h2"]
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert all(re.match(r"(✓|ok) +h\d +boots +\d\.\d s", line) for line in lines)


def test_a_stage_that_fails_says_what_it_was_doing() -> None:
    stream = io.StringIO()
    progress = Progress(console_on(stream))
    with progress, pytest.raises(OSError, match="gone"), progress.stage("exit-a", "joins") as stage:
        stage.update("waiting for headscale")
        raise OSError("gone")
    assert "joins: failed while: waiting for headscale" in stream.getvalue()
    assert [s.failed for s in progress.stages] == [True]


def test_a_long_stage_shows_that_it_lives() -> None:
    told = threading.Event()

    class Log(io.StringIO):
        def write(self, text: str) -> int:
            if "still: pulls" in text:
                told.set()
            return super().write(text)

    with Progress(console_on(Log()), still=0.05) as progress, progress.stage("node", "pulls"):
        assert told.wait(5)


def test_a_terminal_is_drawn_on_and_left_clean() -> None:
    stream = Terminal()
    with Progress(Console(file=stream, force_terminal=True, width=80)) as progress:
        with progress.stage("exit-a", "joins the tailnet"):
            progress.note("a note")
        with progress.stage("exit-b", "joins the tailnet"):
            pass
    text = stream.getvalue()
    assert text.index("a note") < text.rindex("exit-a") < text.rindex("exit-b")
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_progress_may_be_entered_again() -> None:
    progress = Progress(console_on(io.StringIO()))
    for name in ("boot", "teardown"):
        with progress, progress.stage(name):
            pass
    assert [s.name for s in progress.stages] == ["boot", "teardown"]
    assert progress.stages[0].began == 0.0
    assert progress.stages[1].began > 0.0


def test_it_is_the_progress_that_supply_asks_for() -> None:
    shown: SupplyProgress = Progress(console_on(io.StringIO()))
    with shown.stage("images", "from the cache") as stage:
        stage.update("python")


CONFTEST = """
import sys
import pytest
from harness.report.terminal import Progress, console_past_capture

def pytest_configure(config):
    config.shown = console_past_capture(sys.stdout)

@pytest.fixture(scope="session", autouse=True)
def lab(request):
    with Progress(request.config.shown) as progress, progress.stage("node", "boots"):
        print("what is captured")
    request.config.shown.file.close()
"""


def test_progress_is_seen_while_pytest_captures(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tmp_path / "test_x.py").write_text("def test_x(): pass", encoding="utf-8")
    argv = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"]
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [*argv, "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=root,
        env={"PYTHONPATH": ":".join([str(root), *sys.path]), "PYTHONUTF8": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"node +boots +\d\.\d s", ran.stdout)
    assert "what is captured" not in ran.stdout


def test_what_faults_did_is_told_in_rows_with_figures() -> None:
    held = ClaimEntry("other-worker", befallen.CLAIM, Outcome.PROVEN, "Held: x.")
    lines = plain(summary(replace(sample.record(), entries=(befallen.entry(), held)), {}))
    assert "Under faults: 1 leaked, 1 held" in lines
    assert re.match(r"exit-deleted +✗ leaked: 30 requests in 2\.9 s +✓ held$", lines[4])
    assert "✓ held: traffic went on as it may, and not otherwise" in lines


def test_many_examples_under_faults_have_a_symbol_each_and_a_number() -> None:
    many = [replace(befallen.entry(), subject=f"example-{n:02}") for n in range(13)]
    lines = plain(summary(replace(sample.record(), entries=tuple(many)), {}), 100)
    (row,) = (line for line in lines if line.startswith("exit-deleted"))
    assert row.split()[1:] == ["✗"] * 13
    assert any("13 example-12" in line for line in lines)


def test_a_fault_whose_lab_failed_is_told_with_the_reason() -> None:
    failed = Failure("other-worker", befallen.CLAIM, "headscale does not answer")
    record = replace(sample.record(), entries=(befallen.entry(),), failures=(failed,))
    lines = plain(summary(record, {}))
    assert lines[0].startswith("1 of 2 claims refuted, 1 without a verdict in ")
    assert "Under faults: 1 leaked, 1 lab error" in lines
    assert any(re.match(r"exit-deleted +✗ leaked: .+ ! lab error$", line) for line in lines)
    assert "! exit-deleted, other-worker: headscale does not answer" in lines


def test_nothing_is_all_proven_while_a_verdict_is_missing() -> None:
    proven = sample.record(leaky=False)
    failed = Failure("other-worker", "egress.dns", "headscale does not answer")
    lines = plain(summary(replace(proven, failures=(failed,)), {}))
    assert lines[0].startswith("1 of 8 claims without a verdict, 7 proven in ")
    assert any(re.search(r"egress\.dns +proven +lab error$", line) for line in lines)
