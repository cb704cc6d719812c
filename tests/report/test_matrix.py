"""The one-page matrix: every verdict where it belongs, escaped, and nothing from outside."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.claims.verdict import Outcome
from harness.ledger.facts import PageSeen
from harness.ledger.ledger import Observation, to_json
from harness.report import matrix
from harness.report.entries import ClaimEntry
from harness.report.record import Stage
from tests.report import sample

VOID = {"meta", "br", "link", "input", "img", "hr"}


class Page(HTMLParser):
    """Reads a page: its balance, its ids, its links and the text of its matrix cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.cells: list[tuple[str, str]] = []
        self._cell: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given[name] for name in ("href", "src") if name in given]
        if tag == "td" and given.get("class", "").startswith("c-"):
            self._cell = given["class"]
            self.cells.append((given["class"], ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """SVG's empty elements open nothing."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "td":
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            kind, text = self.cells[-1]
            self.cells[-1] = (kind, text + data.strip())


def entry(subject: str, claim: str, verdict: Outcome, reason: str = "because") -> ClaimEntry:
    return ClaimEntry(subject, claim, verdict, reason)


def test_each_verdict_stands_in_its_cell_with_symbol_and_word() -> None:
    page = Page(matrix.render(sample.record()))
    assert page.cells[:7] == [("c-proven", "✓proven")] * 7
    assert page.cells[7:] == [
        ("c-refuted", "✗refuted"),
        ("c-refuted", "✗refuted"),
        ("c-absent", "·not run"),
        ("c-proven", "✓proven"),
        ("c-absent", "·not run"),
        ("c-unproven", "?unproven"),
        ("c-refuted", "✗refuted"),
    ]


def test_the_page_is_balanced_and_its_ids_are_its_own() -> None:
    page = Page(matrix.render(sample.record()))
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)


def test_every_link_into_the_page_leads_somewhere() -> None:
    page = Page(matrix.render(sample.record(), allure="allure/index.html"))
    inside = {link[1:] for link in page.links if link.startswith("#")}
    assert len(inside) == 12
    assert inside <= set(page.ids)


def test_nothing_comes_from_outside() -> None:
    html = matrix.render(sample.record(), allure="allure/index.html")
    outside = [x for x in Page(html).links if not x.startswith("#")]
    assert set(outside) == {"allure/index.html", "claims.json", "run.json"}
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_a_page_that_a_browser_showed_is_on_it_as_a_picture_that_moves_with_it(tmp_path: Path) -> None:
    whole = sample.record()
    seen = Observation(
        1, 1.0, "browser", "app", "as-it-stands", PageSeen("client", "https://app/", 1, "App", "hi", "a.png")
    )
    evidence = [{**to_json(seen), "role": "evidence", "of": 1}]
    entry = replace(whole.entries[0], evidence=evidence)
    (tmp_path / "a.png").write_bytes(b"picture")
    html = matrix.render(replace(whole, entries=(entry,)), beside=matrix.Beside(tmp_path, tmp_path))
    assert f"data:image/png;base64,{base64.b64encode(b'picture').decode()}" in Page(html).links
    without = matrix.render(
        replace(whole, entries=(entry,)), beside=matrix.Beside(tmp_path / "elsewhere", tmp_path)
    )
    assert "data:image" not in without


def test_what_was_seen_is_escaped() -> None:
    whole = sample.record()
    evil = "<img src=x onerror=alert(1)>"
    html = matrix.render(
        replace(
            whole,
            entries=(*whole.entries, entry(evil, f"egress.{evil}", Outcome.REFUTED, evil)),
            versions={evil: evil},
            origins={evil: f"stand-in {evil}"},
            stages=(Stage(evil, 1.0, evil),),
            engine=evil,
            commit=evil,
            run=evil,
        ),
        allure='x"onclick="alert(1)',
    )
    assert evil not in html
    assert '"onclick=' not in html
    assert Page(html).open == []


def test_a_stand_in_image_is_called_that() -> None:
    html = matrix.render(sample.record())
    assert html.count("Not the official image.") == 2


def test_more_evidence_than_is_shown_is_said() -> None:
    assert "49 of 70 observations" in matrix.render(sample.record())


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ([], "No claim was judged"),
        ([Outcome.PROVEN], "The claim is proven"),
        ([Outcome.PROVEN] * 3, "All 3 claims proven"),
        ([Outcome.UNPROVEN], "1 of 1 claim unproven"),
        ([Outcome.PROVEN, Outcome.UNPROVEN], "1 of 2 claims unproven"),
        ([Outcome.PROVEN, Outcome.UNPROVEN, Outcome.REFUTED], "1 of 3 claims refuted"),
    ],
)
def test_the_headline(verdicts: list[Outcome], said: str) -> None:
    entries = tuple(entry("x", f"egress.c{i}", v) for i, v in enumerate(verdicts))
    record = replace(sample.record(), entries=entries)
    assert matrix.headline(record) == said
    assert said in matrix.render(record)


def test_of_two_verdicts_on_one_claim_the_worse_is_shown() -> None:
    two = (
        entry("x", "egress.dns", Outcome.REFUTED, "seen leaking"),
        entry("x", "egress.dns", Outcome.PROVEN, "fine"),
    )
    record = replace(sample.record(), entries=two)
    (line,) = matrix.lines(record, matrix.columns(record))
    (cell,) = line.cells
    assert isinstance(cell, matrix.Detail)
    assert cell.entry.reason == "seen leaking"


def test_columns_are_grouped_in_the_contracts_order() -> None:
    claims = ["secrets.not_exposed", "ports.none_public", "egress.dns", "other.thing", "egress.address"]
    entries = tuple(entry("x", c, Outcome.PROVEN) for c in claims)
    found = matrix.columns(replace(sample.record(), entries=entries))
    assert [c.claim for c in found] == [
        "egress.address",
        "egress.dns",
        "ports.none_public",
        "secrets.not_exposed",
        "other.thing",
    ]


def test_bars_lie_within_the_whole() -> None:
    for bar in matrix.bars(sample.STAGES):
        assert 0 <= bar.left <= bar.left + bar.width <= 100.001
    assert matrix.bars(()) == ()


def test_the_report_is_linked_relative_to_the_page(tmp_path: Path) -> None:
    page = matrix.write(
        sample.record(), tmp_path / "reports" / "matrix.html", allure=tmp_path / "reports/allure/index.html"
    )
    assert 'href="allure/index.html"' in page.read_text(encoding="utf-8")


def test_a_cell_without_a_verdict_says_why() -> None:
    entries = (
        entry("worker", "egress.dns", Outcome.PROVEN),
        entry("app", "identity.tagged", Outcome.PROVEN),
    )
    absences = {
        "worker": {"egress.confined": "not offered: smoke.toml says confined = false"},
        "app": {
            "egress.dns": "the example is of kind serve",
            "egress.confined": "the example is of kind serve",
        },
    }
    record = replace(sample.record(), entries=entries, absences=absences)
    over = matrix.columns(record)
    assert [c.claim for c in over] == ["egress.dns", "egress.confined", "identity.tagged"]
    words = {
        line.subject: [c.words if isinstance(c, matrix.Gap) else c.entry.verdict for c in line.cells]
        for line in matrix.lines(record, over)
    }
    assert words == {
        "worker": ["proven", "not offered", "not run"],
        "app": ["not made of this example", "not made of this example", "proven"],
    }
    page = matrix.render(record)
    assert "confined = false" in page
    assert "○: not offered" in page


def test_with_many_claims_a_cell_is_its_symbol_and_still_has_its_word() -> None:
    claims = [f"egress.claim{i}" for i in range(12)]
    entries = tuple(entry("x", c, Outcome.REFUTED) for c in claims)
    page = matrix.render(replace(sample.record(), entries=entries))
    assert 'class="matrix compact"' in page
    assert Page(page).cells == [("c-refuted", "✗refuted")] * 12
