"""The page of a run with faults: the leak matrix, and of each verdict what there is to see."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.claims.verdict import Outcome
from harness.report import episode, matrix, timeline_picture
from harness.report.entries import ClaimEntry
from harness.report.record import Failure, RunRecord
from tests.report import befallen, sample
from tests.report.test_matrix import Page

HELD = ClaimEntry("other-worker", befallen.CLAIM, Outcome.PROVEN, "Held: all went by exit-a.")


def record(*entries: ClaimEntry) -> RunRecord:
    return replace(sample.record(), entries=entries)


def kept(run: Path, outcome: Outcome = Outcome.REFUTED) -> matrix.Beside:
    """A run's folder with what is kept of a leak."""
    of = befallen.leaky()
    view = episode.view(
        befallen.SUBJECT,
        befallen.CLAIM,
        befallen.verdict(outcome, befallen.LEAKED, of),
        of,
        befallen.EXITS,
        sample.topology(),
    )
    run.mkdir(parents=True)
    episode.write(view, run)
    assert view.timeline
    (run / view.picture).write_text(timeline_picture.draw(view.timeline, view.stem), encoding="utf-8")
    (run / f"{befallen.SUBJECT}-{befallen.FAULT}.pcap").write_bytes(b"packets")
    return matrix.Beside(run, run.parent.parent)


def test_faults_are_in_their_own_matrix_and_not_in_the_claims() -> None:
    whole = replace(sample.record(), entries=(*sample.proven(), befallen.entry(), HELD))
    assert befallen.CLAIM not in [c.claim for c in matrix.columns(whole)]
    page = Page(matrix.render(whole))
    assert page.cells == [
        *[("c-proven", "✓proven")] * 7,
        ("c-leaked", f"✗leaked30 requests in 2.9 s from node ({sample.NODE}, {sample.NODE6})"),
        ("c-held", "✓held"),
    ]


def test_without_faults_there_is_no_leak_matrix() -> None:
    html = matrix.render(sample.record())
    assert "leak matrix" not in html
    assert "Under faults" not in html


def test_with_faults_alone_there_is_no_empty_matrix_of_claims() -> None:
    html = matrix.render(record(befallen.entry(), HELD))
    assert "Examples and their claims" not in html
    assert "before any claim was judged" not in html
    assert Page(html).open == []


@pytest.mark.parametrize(
    ("outcome", "reason", "cell"),
    [
        (Outcome.PROVEN, "Stopped: nothing was answered.", ("c-stopped", "■stopped")),
        (Outcome.UNPROVEN, "Not shown: it.", ("c-unproven", "?unproven")),
    ],
)
def test_a_cell_has_symbol_and_word(outcome: Outcome, reason: str, cell: tuple[str, str]) -> None:
    assert Page(matrix.render(record(befallen.entry(outcome, reason)))).cells == [cell]


def test_what_did_not_befall_an_example_is_said_in_its_cell() -> None:
    other = ClaimEntry("other-worker", "egress.survives.dns-down", Outcome.PROVEN, "Held: x.")
    cells = Page(matrix.render(record(befallen.entry(), other))).cells
    assert [kind for kind, _ in cells] == ["c-leaked", "c-absent", "c-absent", "c-held"]
    assert cells[1][1] == "·not run"


def test_with_many_examples_a_cell_has_the_short_figures() -> None:
    many = [replace(befallen.entry(), subject=f"w{n}") for n in range(8)]
    cells = Page(matrix.render(record(*many))).cells
    assert cells == [("c-leaked", "✗leaked30 requests in 2.9 s")] * 8


def test_each_cell_leads_to_its_detail() -> None:
    page = Page(matrix.render(record(befallen.entry(), HELD)))
    inside = {link[1:] for link in page.links if link.startswith("#")}
    assert f"{befallen.SUBJECT}/{befallen.CLAIM}" in inside
    assert inside <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)


def test_the_first_leak_is_open_and_told_at_the_top() -> None:
    html = matrix.render(record(HELD, befallen.entry()))
    assert len(re.findall(r"<details class=\"claim[^>]* open>", html)) == 1
    top = html[: html.index('id="leaks"')]
    assert (
        f"30 requests in 2.9 s from node ({sample.NODE}, {sample.NODE6}), the first 0.5 s after it began"
        in top
    )
    assert "node is the Nomad client that runs the job." in top


def test_of_many_leaks_the_top_names_some_and_leads_to_the_matrix() -> None:
    many = [replace(befallen.entry(), subject=f"w{n}") for n in range(9)]
    html = matrix.render(record(*many))
    assert html[: html.index('id="leaks"')].count("30 requests in 2.9 s") == 6
    assert '<a href="#leaks">and 3 more in the leak matrix</a>' in html


def test_a_leaks_detail_has_all_there_is_to_see(tmp_path: Path) -> None:
    html = matrix.render(record(befallen.entry()), beside=kept(tmp_path / "runs" / "r"))
    page = Page(html)
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    order = [
        "Look at this first",
        'class="timeline"',
        f"flows of {befallen.SUBJECT}, {befallen.CLAIM}",
        "the first 40 of 50",
        "What Nomad did to the tasks: 2 events",
        "Log of tailscale, stderr: 2 lines",
        "Evidence",
    ]
    detail = html[html.index('id="faults"') :]
    assert sorted(order, key=detail.index) == order
    assert f"runs/r/{befallen.SUBJECT}-{befallen.FAULT}.pcap" in page.links


def test_what_was_captured_logged_and_told_is_escaped(tmp_path: Path) -> None:
    html = matrix.render(record(befallen.entry()), beside=kept(tmp_path / "runs" / "r"))
    assert befallen.EVIL not in html
    assert html.count("&lt;b&gt;") == 42


def test_a_file_that_is_gone_is_not_linked(tmp_path: Path) -> None:
    beside = kept(tmp_path / "runs" / "r")
    for file in (*beside.run.glob("*.pcap"), *beside.run.glob("*.svg")):
        file.unlink()
    page = Page(matrix.render(record(befallen.entry()), beside=beside))
    assert not [link for link in page.links if link.startswith("runs/")]


def test_what_is_proven_has_its_timeline_too(tmp_path: Path) -> None:
    held = befallen.entry(Outcome.PROVEN, "Held: it did.")
    html = matrix.render(record(held), beside=kept(tmp_path / "runs" / "r", Outcome.PROVEN))
    assert html.count('class="timeline"') == 1
    assert "Look at this first" not in html


def test_of_very_many_the_pictures_of_what_is_proven_are_linked(tmp_path: Path) -> None:
    held = befallen.entry(Outcome.PROVEN, "Held: it did.")
    others = [replace(held, subject=f"w{n}") for n in range(60)]
    beside = kept(tmp_path / "runs" / "r", Outcome.PROVEN)
    page = matrix.render(record(held, *others), beside=beside)
    assert 'class="timeline"' not in page
    assert f"runs/r/{befallen.SUBJECT}-{befallen.CLAIM}.svg" in Page(page).links


def test_a_cell_whose_lab_failed_says_so_and_why_and_is_no_verdict() -> None:
    failed = Failure("other-worker", befallen.CLAIM, "headscale does not <answer>")
    html = matrix.render(replace(record(befallen.entry()), failures=(failed,)))
    page = Page(html)
    assert page.cells[1] == ("c-lab-error", "!lab errorheadscale does not <answer>")
    assert "headscale does not &lt;answer&gt;" in html[: html.index('id="leaks"')]
    assert "1 without a verdict" in html
    assert f"other-worker/{befallen.CLAIM}" not in page.ids


def test_a_claim_whose_lab_failed_says_so_in_the_matrix_of_claims() -> None:
    sticks = [Failure("other", claim, "the node died") for claim in ("egress.address", "egress.dns")]
    html = matrix.render(replace(sample.record(leaky=False), failures=tuple(sticks)))
    assert Page(html).cells.count(("c-lab-error", "!lab error")) == 2
    # The same failure of one example is told once above the matrix.
    assert html[: html.index('id="matrix"')].count("the node died") == 1
    assert "2 of 9 claims without a verdict" in html


def test_what_the_run_did_not_come_to_is_not_run_and_no_lab_error() -> None:
    left = [
        Failure("other", claim, "the run ended before it", reached=False)
        for claim in ("egress.address", "egress.survives.dns-down")
    ]
    html = matrix.render(replace(record(befallen.entry()), failures=tuple(left)))
    cells = Page(html).cells
    assert ("c-lab-error", "!lab error") not in cells
    assert [words for kind, words in cells if kind == "c-absent"] == ["·not run"] * 4
    assert "2 without a verdict" in html


def test_the_top_says_in_words_what_a_refuted_claim_promised() -> None:
    html = matrix.render(sample.record())
    top = html[: html.index('id="matrix"')]
    assert "<q>Traffic leaves by the allowed exits and no other address</q>" in top
    assert "node is the Nomad client" not in matrix.render(sample.record(leaky=False))
