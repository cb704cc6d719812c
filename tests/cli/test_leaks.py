"""`notailcar leaks`: the last run's leak matrix as Markdown, and its place in a document."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.claims.verdict import Outcome
from harness.cli import leaks
from harness.cli.main import cli
from harness.errors import UsageError
from harness.report import entries, record
from harness.report.entries import ClaimEntry
from harness.report.record import Failure
from tests.report import befallen, sample

HELD = ClaimEntry("other-worker", befallen.CLAIM, Outcome.PROVEN, "Held: all went by exit-a.")
TABLE = f"""\
Under faults: 1 leaked, 1 held. Run on 2026-11-24 with nomad 1.11.3, tailscale 1.102.3, headscale 0.29.3, \
docker 20.10.24.

| fault | egress-worker | other-worker |
| --- | --- | --- |
| `exit-deleted`: the exit node was deleted on the control server \
| **leaked**: 30 requests in 2.9 s from node ({sample.NODE}, {sample.NODE6}) | held |

**held**: traffic went on as it may, and not otherwise; \
**leaked**: something went as it must not: past the allowed exits, or in from who may not."""


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return written(tmp_path, befallen.entry(), HELD)


def written(folder: Path, *judged: ClaimEntry) -> Path:
    made = replace(sample.record(), entries=judged)
    entries.write(judged, folder / "claims.json")
    record.write(made, folder / "run.json")
    return folder


def test_the_table_has_date_versions_figures_and_meanings(reports: Path) -> None:
    assert leaks.of_runs(reports) == TABLE


def test_the_command_prints_it(reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTAILCAR_REPORTS", str(reports))
    done = CliRunner().invoke(cli, ["leaks"], catch_exceptions=False)
    assert done.output == f"{TABLE}\n"


def test_what_is_between_the_markers_is_replaced_and_nothing_else(
    reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTAILCAR_REPORTS", str(reports))
    document = reports / "model.md"
    document.write_text(f"# A\n\nb\n\n{leaks.BEGIN}\nold\n{leaks.END}\n\nc\n", encoding="utf-8")
    for _ in range(2):
        done = CliRunner().invoke(cli, ["leaks", "--write", str(document)], catch_exceptions=False)
        assert done.exit_code == 0
        assert done.stdout == ""
        wanted = f"# A\n\nb\n\n{leaks.BEGIN}\n\n{TABLE}\n\n{leaks.END}\n\nc\n"
        assert document.read_text(encoding="utf-8") == wanted


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        leaks.BEGIN,
        leaks.END,
        f"{leaks.END}{leaks.BEGIN}",
        f"{leaks.BEGIN}{leaks.BEGIN}{leaks.END}",
        f"{leaks.BEGIN}{leaks.END}{leaks.END}",
        f"{leaks.END}{leaks.BEGIN}{leaks.END}",
    ],
)
def test_a_document_without_its_place_is_left_alone(tmp_path: Path, text: str) -> None:
    document = tmp_path / "model.md"
    document.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"model\.md: has no place for the table") as error:
        leaks.put_into(document, "table")
    assert leaks.BEGIN in error.value.remedy
    assert document.read_text(encoding="utf-8") == text


def test_a_document_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.md: cannot be read: No such file"):
        leaks.put_into(tmp_path / "none.md", "table")


def test_no_report_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"claims\.json: there is no report") as error:
        leaks.of_runs(tmp_path)
    assert "--faults all" in error.value.remedy


def test_a_report_without_faults(tmp_path: Path) -> None:
    written(tmp_path, *sample.proven())
    with pytest.raises(UsageError, match=r"claims\.json: no fault befell an example"):
        leaks.of_runs(tmp_path)


def test_a_report_that_is_broken(reports: Path) -> None:
    (reports / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"run\.json: cannot be read"):
        leaks.of_runs(reports)
    (reports / "run.json").unlink()
    with pytest.raises(UsageError, match=r"run\.json: the run's own record is not there"):
        leaks.of_runs(reports)
    (reports / "claims.json").write_text("[", encoding="utf-8")
    with pytest.raises(UsageError, match=r"claims\.json: cannot be read"):
        leaks.of_runs(reports)


def test_a_pipe_in_a_name_ends_no_cell(tmp_path: Path) -> None:
    odd = ClaimEntry("a", "egress.survives.x|y", Outcome.PROVEN, "Held: it.")
    lines = leaks.of_runs(written(tmp_path, odd)).split("\n")
    assert r"| `x\|y`: x\|y | held |" in lines


def test_a_lab_that_failed_is_in_the_table_with_the_reason(tmp_path: Path) -> None:
    failed = Failure("other-worker", befallen.CLAIM, "exit-a: its container | is gone")
    made = replace(sample.record(), entries=(befallen.entry(),), failures=(failed,))
    entries.write(made.entries, tmp_path / "claims.json")
    record.write(made, tmp_path / "run.json")
    text = leaks.of_runs(tmp_path)
    assert text.startswith("Under faults: 1 leaked, 1 lab error. Run on ")
    assert r" | *lab error*: exit-a: its container \| is gone |" in text
    assert "**lab error**: the lab failed on the way to a verdict" in text


def test_several_runs_become_one_table_in_which_the_worst_stands(tmp_path: Path) -> None:
    first = written(tmp_path / "a", HELD)
    leaked = replace(befallen.entry(), subject=HELD.subject)
    down = ClaimEntry("other-worker", "egress.survives.dns-down", Outcome.PROVEN, "Held: x.")
    second = written(tmp_path / "b", leaked, down)
    for order in ((first, second), (second, first)):
        done = CliRunner().invoke(cli, ["leaks", *map(str, order)], catch_exceptions=False)
        assert done.output.startswith("Under faults: 1 leaked, 1 held. Run on 2026-11-24 with ")
        assert "| **leaked**: 30 requests" in done.output


def test_runs_of_different_versions_are_no_one_table(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a", HELD), written(tmp_path / "b", HELD)
    made = record.read(second / "run.json")
    record.write(replace(made, versions={**made.versions, "nomad": "1.11.4"}), second / "run.json")
    with pytest.raises(UsageError, match=r"b: of other versions than .*a: nomad 1\.11\.4"):
        leaks.of_runs(first, second)


def test_runs_of_several_days_say_so(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a", HELD), written(tmp_path / "b", HELD)
    made = record.read(second / "run.json")
    record.write(replace(made, began=made.began + 3 * 86_400), second / "run.json")
    assert " Run on 2026-11-24 to 2026-11-27 with " in leaks.of_runs(first, second)


def test_help_teaches() -> None:
    told = CliRunner().invoke(cli, ["leaks", "--help"]).output
    for expected in ("--faults all", "notailcar leaks --write docs/security-model.md", leaks.BEGIN):
        assert expected in told
