"""What is kept of a verdict's episodes: all of it when it is not proven, the timeline alone when it is."""

from pathlib import Path

import pytest

from harness.claims.verdict import Outcome
from harness.ledger import facts as f
from harness.ledger.ledger import History
from harness.report import episode
from harness.report.episode import SHOWN_PACKETS, EpisodeView
from tests.report import befallen, sample


def view(of: History, outcome: Outcome = Outcome.REFUTED) -> EpisodeView:
    verdict = befallen.verdict(outcome, "because", of)
    return episode.view(befallen.SUBJECT, befallen.CLAIM, verdict, of, befallen.EXITS, sample.topology())


def test_of_what_is_proven_there_is_the_timeline_alone() -> None:
    found = view(befallen.leaky(), Outcome.PROVEN)
    assert found.timeline is not None
    assert found == EpisodeView(befallen.SUBJECT, befallen.CLAIM, timeline=found.timeline)


@pytest.mark.parametrize("outcome", [Outcome.REFUTED, Outcome.UNPROVEN])
def test_of_what_is_not_there_is_all_that_says_why(outcome: Outcome) -> None:
    found = view(befallen.leaky(), outcome)
    assert len(found.flows) == len([x for x in sample.LEAKS if x.wire == "node"])
    assert [e.task for e in found.events] == ["tailscale", "worker"]
    assert len(found.packets) == SHOWN_PACKETS
    assert found.packets_in_all == 50
    assert found.capture == f"{befallen.SUBJECT}-{befallen.FAULT}.pcap"


def test_it_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    found = view(befallen.leaky())
    episode.write(found, tmp_path)
    assert episode.read(befallen.SUBJECT, befallen.CLAIM, tmp_path) == found
    assert episode.read(befallen.SUBJECT, "egress.dns", tmp_path) is None


def test_a_name_with_a_slash_stays_in_its_folder(tmp_path: Path) -> None:
    evil = EpisodeView("../../x", "egress.dns")
    episode.write(evil, tmp_path)
    assert [file.parent for file in tmp_path.rglob("*")] == [tmp_path]
    assert episode.read("../../x", "egress.dns", tmp_path) == evil


def test_a_log_is_shown_from_the_fault_on_and_without_the_tasks_own_end() -> None:
    logs = {log.task: log.lines for log in view(befallen.leaky()).logs}
    assert [line.rpartition(" ")[2] for line in logs["tailscale"]] == ["node", "detail"]
    assert logs["worker"] == (f"sent {befallen.EVIL}",)


def test_of_a_log_without_such_lines_the_last_are_shown() -> None:
    late = [befallen.log_line(befallen.ZERO + 30, f"late {n}") for n in range(100)]
    log = f.TaskLog("7d3a", "tailscale", "stderr", "\n".join(late))
    (shown,) = view(befallen.history(*befallen.marks(), *befallen.traffic(leaky=True), log)).logs
    assert shown.lines == tuple(late[-60:])


def test_of_very_many_lines_from_the_fault_on_the_first_are_shown() -> None:
    busy = [befallen.log_line(befallen.ZERO + 1, f"busy {n}") for n in range(100)]
    log = f.TaskLog("7d3a", "tailscale", "stderr", "\n".join(busy))
    (shown,) = view(befallen.history(*befallen.marks(), *befallen.traffic(leaky=True), log)).logs
    assert shown.lines == tuple(busy[:60])


def test_a_capture_without_packets_is_not_offered() -> None:
    empty = f.CaptureClosed("x", 0, 0, "empty.pcap")
    assert view(befallen.history(*befallen.marks(), empty)).capture == ""


def test_a_claim_that_is_not_of_traffic_has_neither_flows_nor_packets() -> None:
    of = befallen.leaky()
    verdict = befallen.verdict(Outcome.REFUTED, "because", of)
    found = episode.view("a", "secrets.not_exposed", verdict, of, (), sample.topology())
    assert (found.flows, found.packets, found.capture) == ((), (), "")
    assert found.logs


# -- what to look at first


def said(of: History, outcome: Outcome = Outcome.REFUTED) -> str:
    return " ".join(view(of, outcome).look_first)


def test_a_leak_is_told_with_its_moments_and_with_what_happened() -> None:
    told = said(befallen.leaky())
    assert f"30 requests by node, directly, from {sample.NODE6} and {sample.NODE}" in told
    assert "the first 0.5 s after the fault was injected, the last 0.4 s after it was healed" in told
    assert "injected at 0.0 s: exit-a was deleted; shown at 0.4 s: tailscaled has no exit node" in told


def test_a_leak_that_ended_by_itself_and_one_that_was_not_healed() -> None:
    ended = befallen.history(*befallen.marks(), befallen.request(1, sample.NODE))
    assert "the last 2.0 s before it was healed" in said(ended)
    unhealed = befallen.history(*befallen.marks()[:2], befallen.request(1, sample.NODE))
    assert "at 1.0 s; it was not healed" in said(unhealed)


def test_packets_without_a_request_are_told_from_the_capture() -> None:
    quiet = befallen.history(*befallen.marks(), *befallen.traffic(leaky=False), *befallen.aftermath())
    told = said(quiet)
    assert "Of 50 packets beside control, exits and DNS most (50) went from node to echo tcp/443" in told
    assert "No request became of it" in told


def test_of_what_is_unproven_nothing_is_concluded() -> None:
    quiet = befallen.history(*befallen.marks(), *befallen.traffic(leaky=False))
    assert "Nothing may be concluded" in said(quiet, Outcome.UNPROVEN)


def test_without_a_fault_the_first_evidence_is_named() -> None:
    told = said(befallen.history(*befallen.aftermath()))
    assert "The first that speaks against it, seen by x, written down at 06:00:20.000 UTC: node (" in told
    assert "50 packets" in told
