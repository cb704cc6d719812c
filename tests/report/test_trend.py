"""The trend page: every run in its column, escaped, and nothing from outside."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from harness.report import matrix, since, trend
from harness.report.changes import changes
from harness.report.history import Past
from tests.report import sample
from tests.report.past import P, R, U, past, verdicts
from tests.report.test_matrix import Page

BAD = past(3, verdicts(worker_dns=R), stages={"control: headscale": 9.0})
HISTORY = (past(1), past(2, {"worker": verdicts()["worker"]}), BAD)


def test_each_run_has_its_column_and_each_claim_its_row() -> None:
    (section,) = trend.sections(HISTORY)
    assert [column.kind for column in section.columns] == ["proven", "proven", "refuted"]
    assert [column.height for column in section.columns] == [91.3, 95.7, 100.0]
    site, worker = section.rows
    assert (site.name, site.kinds, site.open) == ("site", ("proven", "none", "proven"), False)
    assert (worker.name, worker.kinds, worker.open) == ("worker", ("proven", "proven", "refuted"), True)
    assert [row.name for row in worker.claims] == ["egress.address", "egress.dns", "ports.none_public"]
    assert worker.claims[1].kinds == ("proven", "proven", "refuted")
    assert "1 of 3 claims refuted" in worker.cells


def test_the_page_is_balanced_and_nothing_comes_from_outside() -> None:
    html = trend.render(HISTORY)
    page = Page(html)
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    assert {link for link in page.links if not link.startswith("#")} == {"matrix.html", "history.jsonl"}
    assert "@import" not in html
    assert not re.search(r"url\((?!#)|<script|https?:", html)


def test_runs_of_two_sites_stand_apart_the_newest_first() -> None:
    both = trend.sections((past(1), past(2, site="live"), past(3), past(4, site="live")))
    assert [(s.site, len(s.columns)) for s in both] == [("live", 2), ("lab", 2)]
    assert Page(trend.render((past(1), past(2, site="live")))).open == []


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([past(1)], "The only run is green"),
        ([past(1), past(2)], "Green all 2 runs"),
        ([BAD, past(4)], "The newest run is green"),
        ([BAD, past(4), past(5)], "Green for 2 runs"),
        ([BAD], "The only run is not green"),
        ([past(1), BAD], "The newest run is not green"),
        ([past(1), BAD, BAD], "Not green for 2 runs"),
        ([BAD, BAD], "No run of 2 is green"),
    ],
)
def test_the_headline(runs: list[Past], said: str) -> None:
    assert trend.headline(runs) == said
    assert said in trend.render(runs)


def test_an_unfinished_run_is_told_from_an_unproven_one() -> None:
    runs = [past(1, unfinished=True), past(2, {"a": {"b.c": U}}), past(3, {"a": {"b.c": R}}, unfinished=True)]
    (section,) = trend.sections(runs)
    assert [column.kind for column in section.columns] == ["unfinished", "unproven", "refuted"]
    assert "not finished" in section.columns[0].said


def test_a_run_that_judged_nothing_in_no_checkout_has_its_column() -> None:
    nothing = replace(past(1, {}, stages={}, unfinished=True), commit="", seconds=0.0)
    (section,) = trend.sections([nothing])
    assert section.columns[0].said == "nothing was judged; not finished; 0 s"
    assert (section.rows, section.curves) == ((), ())
    (section,) = trend.sections([replace(past(1), commit="4c1f0e2aa-dirty")])
    assert section.columns[0].said == "5 proven; 21 s; commit 4c1f0e2, edited"
    assert Page(trend.render([nothing])).open == []


def test_more_runs_than_fit_are_left_out_on_the_left() -> None:
    (section,) = trend.sections([past(n) for n in range(60)])
    assert len(section.columns) == trend.COLUMNS
    assert section.columns[-1].run == "run-59"


def test_times_lie_within_their_box_and_the_slow_one_comes_first() -> None:
    stages = {"a": 1.0, "z: fast": 5.0}
    runs = [past(n, stages=stages) for n in range(4)] + [past(5, stages={"a": 4.0, "z: fast": 5.0})]
    (section,) = trend.sections(runs)
    first, second = section.curves
    assert (first.stage, first.slower, first.usual, first.latest) == ("a", True, 1.0, 4.0)
    assert (second.stage, second.slower) == ("z: fast", False)
    for curve in section.curves:
        assert all(0 <= x <= 240 and 0 <= y <= 44 for x, y, _ in curve.dots)
        assert len(curve.points.split()) == 5


def test_what_a_history_says_is_escaped() -> None:
    evil = "<img src=x onerror=alert(1)>"
    one = replace(
        past(1, {evil: {evil: R}}, stages={evil: 1.0}),
        run=evil,
        commit=evil,
        site=evil,
        versions={evil: evil},
    )
    html = trend.render((one, replace(one, run="2")))
    assert evil not in html
    assert Page(html).open == []


def test_what_changed_is_on_both_pages_and_on_the_terminal() -> None:
    found = changes(BAD, HISTORY[:2])
    assert found is not None
    page = matrix.render(sample.record(), trend="trend.html", changes=found)
    for html in (page, trend.render(HISTORY)):
        assert "Since the last green run" in html
        assert "refuted now" in html
        assert "egress.dns" in html
        assert "times as long as usual" in html
        assert Page(html).open == []
    assert "trend.html" in Page(page).links
    stream = io.StringIO()
    Console(file=stream, width=120).print(since.block(found))
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert lines == [
        "Since the last green run, run-1 (2026-11-25 06:00 UTC)",
        "refuted now  worker: egress.dns",
        "slower       control: headscale  9.0 s, 9.0 times as long as usual",
    ]


def test_it_is_written_whole(tmp_path: Path) -> None:
    page = trend.write((past(1, {"a": {"b.c": P}}),), tmp_path / "trend.html")
    assert page.read_text(encoding="utf-8").endswith("</html>")
