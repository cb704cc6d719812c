"""What a scenario leaves in Allure's results, through a real pytest run."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.ledger import facts as f
from harness.ledger.ledger import History
from harness.report.allure_results import episode_steps, write_environment
from tests.report import sample

SCENARIO = """
from harness.claims.verdict import Outcome, Verdict
from harness.errors import LabError
from harness.report import allure_results as results
from tests.report import sample

book = sample.Book("egress-worker")
seen = book.see(sample.SOUND[0])
told = book.see(sample.request(sample.EXIT_A, "<b>w-1</b>"), "echo", "control")

def test_claim(tmp_path):
    results.label("egress.address", "egress-worker")
    worker = results.Step("worker: Started", 104.0, 109.0)
    worker = results.Step("worker: Started", 104.0, 109.0)
    results.show_steps([results.Step("as-it-stands: complete", 100.0, 109.5, (worker,))])
    verdict = Verdict(Outcome.REFUTED, "1 of 2 <leaked>", (seen,), (told,))
    results.attach_verdict(verdict, {sample.NODE: "node"})
    (tmp_path / "x.pcap").write_bytes(b"pcap")
    results.attach_packets(tmp_path / "x.pcap")
    assert False, "refuted"

def test_lab():
    results.label("egress.dns", "egress-worker")
    raise LabError("the lab broke")
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Allure's results of one refuted claim and one broken lab."""
    folder = tmp_path_factory.mktemp("scenario")
    (folder / "test_scenario.py").write_text(SCENARIO, encoding="utf-8")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    argv += ["-c", "/dev/null", "--alluredir", str(folder / "results"), str(folder / "test_scenario.py")]
    root = Path(__file__).parents[2]
    path = ":".join([str(root), *sys.path])
    ran = subprocess.run(
        argv, cwd=root, env={"PYTHONPATH": path}, check=False, capture_output=True, text=True
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    return folder / "results"


def result(results: Path, name: str) -> dict[str, Any]:
    for file in results.glob("*-result.json"):
        data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if data["fullName"].endswith(name):
            return data
    raise AssertionError(name)


def test_a_claim_has_its_place_and_its_title(results: Path) -> None:
    found = result(results, "test_claim")
    labels = {x["name"]: x["value"] for x in found["labels"]}
    assert (labels["epic"], labels["feature"], labels["story"]) == (
        "Where traffic leaves",
        "egress.address",
        "egress-worker",
    )
    assert found["name"] == "egress-worker: Traffic leaves by the allowed exits and no other address"


def test_a_product_fault_failed_and_a_lab_fault_is_broken(results: Path) -> None:
    assert result(results, "test_claim")["status"] == "failed"
    assert result(results, "test_lab")["status"] == "broken"


def test_steps_have_the_times_of_the_episode(results: Path) -> None:
    (episode,) = result(results, "test_claim")["steps"]
    (task,) = episode["steps"]
    assert (episode["name"], episode["start"], episode["stop"]) == (
        "as-it-stands: complete",
        100_000,
        109_500,
    )
    assert (task["name"], task["start"], task["stop"]) == ("worker: Started", 104_000, 109_000)


def test_the_verdict_is_attached_escaped_and_whole(results: Path) -> None:
    attached = {a["name"]: results / a["source"] for a in result(results, "test_claim")["attachments"]}
    assert list(attached) == ["verdict: refuted", "evidence and controls", "verdict as JSON", "packets"]
    page = attached["verdict: refuted"].read_text(encoding="utf-8")
    assert "1 of 2 &lt;leaked&gt;" in page
    assert "&lt;b&gt;w-1&lt;/b&gt;" in page
    rows = attached["evidence and controls"].read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["role", "evidence", "control"]
    data = json.loads(attached["verdict as JSON"].read_text(encoding="utf-8"))
    assert (data["verdict"], len(data["evidence"]), len(data["controls"])) == ("refuted", 1, 1)
    assert attached["packets"].read_bytes() == b"pcap"


def test_steps_are_read_from_the_history() -> None:
    book = sample.Book("x")

    def event(task: str, what: str, at: float, code: int | None = None) -> f.TaskEventSeen:
        return f.TaskEventSeen("a", task, what, "", code, at)

    history = History(
        tuple(
            book.see(fact)
            for fact in (
                event("worker", "Started", 12.0),
                event("guard", "Started", 10.0),
                event("guard", "Terminated", 11.0, 0),
                f.EpisodeEnded(9.0, 15.0, "complete"),
            )
        )
    )
    (episode,) = episode_steps(history)
    assert (episode.title, episode.began, episode.ended) == ("as-it-stands: complete", 9.0, 15.0)
    assert [(s.title, s.began, s.ended) for s in episode.steps] == [
        ("guard: Started", 10.0, 11.0),
        ("guard: Terminated, exit code 0", 11.0, 11.0),
        ("worker: Started", 12.0, 15.0),
    ]


def test_the_environment_is_written_as_properties(tmp_path: Path) -> None:
    write_environment(tmp_path, {"nomad": "1.11.3"}, {"python:3.13-slim": "a = b\nc"}, "Docker 28")
    assert (tmp_path / "environment.properties").read_text(encoding="utf-8").splitlines() == [
        "engine=Docker 28",
        "nomad=1.11.3",
        "python\\:3.13-slim=a = b\\nc",
    ]
