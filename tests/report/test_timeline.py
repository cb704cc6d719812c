"""The timeline: each request in the row of whom the receiver saw, and a picture that a page can take in."""

import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from harness.ledger.facts import FaultSeen, Phase, RoundAsked, Way
from harness.report import timeline_picture
from harness.report.timeline import Kind, Lane, Timeline, span, timeline
from tests.report import befallen, sample

NAMES = {a: h.name for h in sample.topology().hosts for a in h.addresses}


def found(*facts: object) -> Timeline:
    told = timeline(befallen.history(*facts), befallen.EXITS, "node", NAMES)  # type: ignore[arg-type]
    assert told is not None
    return told


def by_name(told: Timeline) -> dict[str, Lane]:
    return {lane.name: lane for lane in told.lanes}


def test_a_request_is_in_the_row_of_whom_the_receiver_saw() -> None:
    lanes = by_name(found(*befallen.marks(), *befallen.traffic(leaky=True)))
    assert list(lanes) == ["exit-a", "exit-b", "node, directly", "no answer"]
    assert (lanes["exit-a"].kind, len(lanes["exit-a"].at)) == (Kind.ALLOWED, 20)
    assert (lanes["exit-b"].kind, lanes["exit-b"].at) == (Kind.ALLOWED, ())
    direct = lanes["node, directly"]
    assert (direct.kind, len(direct.at)) == (Kind.DIRECT, 30)
    assert direct.addresses == (sample.NODE6, sample.NODE)
    assert direct.at[0] == pytest.approx(0.5)
    assert lanes["no answer"].at == ()


def test_what_was_not_answered_has_a_row_by_the_senders_word() -> None:
    told = found(*befallen.marks(), *befallen.traffic(leaky=False))
    assert len(by_name(told)["no answer"].at) == 30
    assert told.direct == ()


def test_an_address_that_nobody_has_is_an_alarm_as_any_other_host_is() -> None:
    lanes = by_name(
        found(*befallen.marks(), befallen.request(1, "192.0.2.9"), befallen.request(1, sample.CLIENT))
    )
    assert lanes["192.0.2.9, directly"].kind is Kind.DIRECT
    assert lanes["client, directly"].kind is Kind.DIRECT


def test_an_exit_that_the_job_may_not_leave_by_is_an_alarm() -> None:
    told = timeline(
        befallen.history(*befallen.marks(), befallen.request(1, sample.EXIT_B)), ["exit-a"], "node", NAMES
    )
    assert told is not None
    assert by_name(told)["exit-b, directly"].kind is Kind.DIRECT


def test_its_zero_is_when_the_fault_was_injected() -> None:
    told = found(*befallen.marks(), *befallen.traffic(leaky=True))
    assert told.zero == befallen.ZERO
    assert [(m.phase, m.at) for m in told.marks] == [
        (Phase.INJECTED, 0.0),
        (Phase.SHOWN, pytest.approx(0.4)),
        (Phase.HEALED, 3.0),
    ]
    assert told.begin == -2.0
    assert told.end == pytest.approx(3.4)


def test_without_a_fault_or_without_requests_there_is_none() -> None:
    assert timeline(befallen.history(*befallen.traffic(leaky=True)), (), "node", NAMES) is None
    assert timeline(befallen.history(*befallen.marks()), (), "node", NAMES) is None


def test_who_asked_for_what_is_served_has_a_row_for_being_let_in() -> None:
    def asked(by: str, at: float, *connected: str) -> RoundAsked:
        return RoundAsked(by, Way.TAILNET, befallen.ZERO + at, befallen.ZERO + at + 0.1, 3, connected, 1, 1)

    told = found(
        *befallen.marks(),
        asked("client", -1, "http://app/"),
        asked("client", 1),
        asked("stranger", -1),
        asked("stranger", 2, "http://app/"),
    )
    assert {n: (lane.kind, lane.at) for n, lane in by_name(told).items()} == {
        "client, answered": (Kind.ALLOWED, (-1.0,)),
        "client, no answer": (Kind.UNANSWERED, (1.0,)),
        "stranger, let in": (Kind.DIRECT, (2.0,)),
        "stranger, not let in": (Kind.UNANSWERED, (-1.0,)),
    }
    assert told.direct == (2.0,)


def test_a_span_in_words() -> None:
    assert span(()) == "none"
    assert span((1.0,)) == "1 at 1.0 s"
    assert span((0.25, 4.0)) == "2 from 0.2 s to 4.0 s"


# -- the picture


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - our own picture


def drawn(key: str = "a") -> str:
    return timeline_picture.draw(found(*befallen.marks(), *befallen.traffic(leaky=True)), key)


def test_the_picture_is_svg_with_rows_marks_and_words_for_who_cannot_see() -> None:
    root = parsed(drawn())
    text = " ".join("".join(e.itertext()).strip() for e in root.iter("{http://www.w3.org/2000/svg}text"))
    for expected in ("exit-a", "✗ node, directly", "30 requests", "injected 0.0 s", "healed 3.0 s"):
        assert expected in text
    described = root.find("{http://www.w3.org/2000/svg}desc")
    assert described is not None
    assert "node, directly: 30 from 0.5 s to 3.4 s" in (described.text or "")


def test_every_request_is_a_stroke() -> None:
    strokes = {
        kind: sum(len(re.findall("M", d)) for d in re.findall(rf'd="([^"]*)"[^>]*var\(--{kind}\)', drawn()))
        for kind in ("allowed", "direct")
    }
    assert strokes == {"allowed": 20, "direct": 30}


def test_its_colours_follow_the_page() -> None:
    svg = drawn()
    body = svg[svg.index("</style>") :]
    assert not re.search(r"#[0-9a-f]{6}\b", body)
    assert "prefers-color-scheme: dark" in svg


def test_two_pictures_share_no_id_and_refer_to_their_own() -> None:
    ids = [set(re.findall(r' id="([^"]+)"', drawn(key))) for key in ("a", "b")]
    assert not ids[0] & ids[1]
    for key, own in zip(("a", "b"), ids, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', drawn(key))) <= own


def test_it_brings_no_rule_that_reaches_the_page() -> None:
    rules = re.findall(
        r"^\s*([^@{}]+)\{", drawn()[: drawn().index("</style>")].split("<style>")[1], re.MULTILINE
    )
    assert rules
    assert all(rule.strip().startswith(".timeline") for rule in rules)


def test_names_are_escaped() -> None:
    evil = Timeline(0.0, (Lane(befallen.EVIL, Kind.DIRECT, (1.0,)),), ())
    svg = timeline_picture.draw(evil, befallen.EVIL)
    assert "<b>" not in svg
    parsed(svg)


def test_one_moment_alone_can_be_drawn() -> None:
    told = found(FaultSeen("x", Phase.INJECTED, befallen.ZERO, "it"), befallen.sent(0.0, ""))
    parsed(timeline_picture.draw(told, "x"))


def test_who_draws_nothing_does_not_wait_for_matplotlib() -> None:
    code = "import sys, harness.plugin.plugin, harness.cli.main; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
