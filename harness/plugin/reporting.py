"""What a session leaves for people: lines on the terminal, and the files of reports/.

With xdist, workers hand their verdicts to the controller on their test reports; only the controller
speaks and writes reports.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cattrs import Converter
from rich.console import Console

from harness.assembly import Ready
from harness.claims.catalogue import CLAIMS
from harness.claims.verdict import Outcome
from harness.errors import EXIT_LAB, NoTailCarError
from harness.lab import topology_file
from harness.lab.topology import ControlProgram, Topology
from harness.ledger.episodes import CONTROLS
from harness.ledger.facts import FlowSeen, PageSeen
from harness.ledger.ledger import Ledger, from_json
from harness.plugin.executions import Judged
from harness.report import (
    allure_html,
    allure_results,
    entries,
    episode,
    matrix,
    record,
    terminal,
    timeline_picture,
    topology_picture,
)
from harness.report.allure_results import Step
from harness.report.entries import ClaimEntry
from harness.report.episode import EpisodeView
from harness.report.leaks import is_of_fault
from harness.report.news import Following, NewsFile
from harness.report.progress import Progress
from harness.report.record import RunRecord, Stage, address_names
from harness.report.topology_picture import draw_record
from harness.run import places
from harness.run.run import Run, is_alive, new_id

RECORDING = pytest.StashKey["Recording"]()
_TELLING = pytest.StashKey[Callable[[], None]]()
"""What is told to Allure of a test's verdict, once the test itself is called."""
_RUN_ID = pytest.StashKey[str]()
RUN_OF_CONTROLLER = "notailcar.run"
"""In a worker's input: the id of the run that it takes part in."""
_ENTRY = "notailcar.entry"
_ERROR = "notailcar.error"
_ABSENCES = "notailcar.absences"
_KEPT_RUNS = 10
_NEWS_FILES = "stages-*.jsonl"
"""The stages of a worker, by its name."""


@dataclass(frozen=True)
class About:
    """What the process with the lab knows, and the one that writes the report needs."""

    engine: str
    versions: Mapping[str, str]
    origins: Mapping[str, str]
    stages: tuple[Stage, ...]


def run_id(config: pytest.Config) -> str:
    """The id of this session's run; the same in the controller and in its workers."""
    if _RUN_ID not in config.stash:
        given: Mapping[str, Any] = getattr(config, "workerinput", {})
        config.stash[_RUN_ID] = str(given.get(RUN_OF_CONTROLLER) or new_id())
    return config.stash[_RUN_ID]


def open_recording(config: pytest.Config, *, began: float) -> "Recording":
    """Open the reports of this session; `began` is its start in Unix seconds."""
    recording = Recording(config, began)
    config.stash[RECORDING] = recording
    config.pluginmanager.register(recording, "notailcar-recording")
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        # Each claim has a line of its own: no file names and no dots between them.
        reporter.showfspath = False
    return recording


def is_ours(report: pytest.TestReport) -> bool:
    """Whether a test's report carries a verdict, or an error of the lab or of the input."""
    return any(name in (_ENTRY, _ERROR) for name, _ in report.user_properties)


def folder_of(config: pytest.Config) -> Path:
    """Where this session keeps its ledger, captures and Allure results."""
    return places.reports() / "runs" / run_id(config)


def has_begun(config: pytest.Config) -> bool:
    """Whether a worker of this session has opened its reports."""
    return any(folder_of(config).glob(_NEWS_FILES))


def results_of(config: pytest.Config) -> Path:
    """Where this session's Allure results go."""
    return folder_of(config) / "allure-results"


class Recording:
    """Owns the terminal and the reports of one session.

    Attributes:
        progress: where what takes time is shown.
        refuted: whether a claim was refuted, or not proven.
        worst_error: the exit code of what went wrong with the lab or the input; None when nothing did.
    """

    def __init__(self, config: pytest.Config, began: float) -> None:
        """Take the terminal while nothing is captured; the session began then, in Unix seconds."""
        self._config = config
        self._worker = str(getattr(config, "workerinput", {}).get("workerid", ""))
        self._console = Console(quiet=True) if self._worker else terminal.console_past_capture(sys.stdout)
        folder_of(config).mkdir(parents=True, exist_ok=True)
        news_file = folder_of(config) / _NEWS_FILES.replace("*", self._worker)
        news = NewsFile(news_file) if self._worker else None
        self.progress = Progress(self._console, tell=news)
        self._following: Following | None = None
        self._began = began
        self._entries: list[ClaimEntry] = []
        self._absences: dict[str, dict[str, str]] = {}
        self._topology: Topology = topology_file.load(
            Path(config.getoption("--topology")), ControlProgram.LABCONTROL
        )
        self._names = address_names(self._topology)
        self.worst_error: int | None = None
        self.refuted = False
        self._said: set[str] = set()

    # -- for the process that has the lab

    def run(self, program: ControlProgram) -> Run:
        """The run that owns the lab of this process that has this control program."""
        second = "" if program is ControlProgram.HEADSCALE else program
        return Run("-".join(filter(None, (run_id(self._config), self._worker, second))))

    def ledger(self) -> Ledger:
        """The ledger of this process."""
        return Ledger(folder_of(self._config) / f"ledger{self._worker}.jsonl")

    def ready(self, ready: Ready) -> None:
        """Keep what the report says of where things came from."""
        about = About(ready.engine, ready.versions, ready.origins, ())
        self._about_file(self._worker, ready.lab.topology.program).write_text(
            json.dumps(Converter().unstructure(about)), encoding="utf-8"
        )

    def add(self, item: pytest.Item, judged: Judged, ledger: Ledger) -> None:
        """Put a verdict on the report of its test, and have it told to Allure when the test is called."""
        example, verdict = judged.example, judged.verdict
        entry = entries.to_entry(example.name, judged.claim.id, verdict, judged.seconds)
        item.user_properties.append((_ENTRY, json.dumps(Converter().unstructure(entry))))
        absences = {c.id: why for c in CLAIMS if (why := c.absence(example.smoke))}
        item.user_properties.append((_ABSENCES, json.dumps(absences)))
        view = self._view(judged, ledger)
        steps = allure_results.episode_steps(ledger.history(example.name))
        item.stash[_TELLING] = lambda: self._tell(judged, steps, view)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Tell Allure of the verdict: what a fixture tells of it is overwritten before the test is called."""
        if tell := item.stash.get(_TELLING, None):
            tell()

    def _tell(self, judged: Judged, steps: Iterable[Step], view: EpisodeView | None) -> None:
        verdict = judged.verdict
        allure_results.label(judged.claim.id, judged.example.name)
        allure_results.show_steps(s for s in steps if s.title.split(":")[0] in judged.claim.episodes)
        if view:
            self._attach(view)
        allure_results.attach_verdict(verdict, self._names, view.look_first if view else ())
        for observation in verdict.evidence:
            if isinstance(observation.fact, PageSeen) and observation.fact.picture:
                page = observation.fact
                picture = folder_of(self._config) / page.picture
                allure_results.attach_page(picture, f"{page.target}, in {page.by}'s browser")

    def _view(self, judged: Judged, ledger: Ledger) -> EpisodeView | None:
        """What there is to show of the episodes, kept for the page; nothing where all went as it should."""
        example, claim, verdict = judged.example, judged.claim, judged.verdict
        if verdict.outcome is Outcome.PROVEN and not is_of_fault(claim.id):
            return None
        egress = example.smoke.egress
        view = episode.view(
            example.name,
            claim.id,
            verdict,
            ledger.history(example.name).episode(*claim.episodes),
            (*egress.via, *egress.fallback) if egress else (),
            self._topology,
        )
        folder = folder_of(self._config)
        episode.write(view, folder)
        if view.timeline:
            drawn = timeline_picture.draw(view.timeline, view.stem)
            (folder / view.picture).write_text(drawn, encoding="utf-8")
        return view

    def _attach(self, view: EpisodeView) -> None:
        folder = folder_of(self._config)
        if view.timeline:
            drawn = (folder / view.picture).read_text(encoding="utf-8")
            allure_results.attach_drawing(drawn, "requests over time")
        if view.flows:
            drawn = topology_picture.draw_episode(view, self._topology)
            allure_results.attach_drawing(drawn, "where the packets went")
        if view.capture:
            name = "what the node sent beside control, exits and DNS"
            allure_results.attach_packets(folder / view.capture, name)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Our own errors are shown as the message that they are, not as a traceback."""
        report = yield
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, NoTailCarError):
            # The same error meets every claim of an example: once with its log and remedy is enough.
            said = str(error)
            report.longrepr = f"{error.problem} (as above)" if said in self._said else said
            self._said.add(said)
            report.user_properties = [*report.user_properties, (_ERROR, str(error.exit_code))]
        elif report.failed and any(name == _ENTRY for name, _ in report.user_properties):
            report.longrepr = str(error)
        elif report.failed and item.get_closest_marker("claim"):
            # Whatever else went wrong, nothing was refuted by it.
            report.user_properties = [*report.user_properties, (_ERROR, str(EXIT_LAB))]
        return report

    # -- for the process that speaks to the person

    def follow_workers(self) -> None:
        """Show the stages of xdist's workers until the session ends; called again, it goes on."""
        if self._following is None:
            self._following = Following(self.progress, folder_of(self._config), _NEWS_FILES)
            self._following.__enter__()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One line a claim, as soon as there is a verdict."""
        if self._worker:
            return
        said = dict(report.user_properties)
        if report.when == "call" and _ENTRY in said:
            entry = entries.from_data(json.loads(str(said[_ENTRY])), "entry")
            self._entries.append(entry)
            self._absences[entry.subject] = json.loads(str(said[_ABSENCES]))
            self.refuted |= entry.verdict is not Outcome.PROVEN
            self._console.print(terminal.claim_line(entry, self._console.width, self._names))
        elif report.failed and _ERROR in said:
            self.worst_error = max(self.worst_error or 0, int(str(said[_ERROR])))

    def pytest_runtest_logstart(self) -> None:
        """Let pytest's own lines out, which wait where the output is no terminal: first come, first shown."""
        sys.stdout.flush()

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """No letter for what has a line of its own."""
        # What goes wrong beside a verdict has no line of its own.
        broken = report.failed and report.when != "call"
        if not broken and any(name == _ENTRY for name, _ in report.user_properties):
            return ("" if report.when != "call" else report.outcome, "", "")
        return None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write the reports, once the lab is gone."""
        if self._worker:
            return
        if self._following:
            self._following.__exit__(None, None, None)
        folder, reports = folder_of(self._config), places.reports()
        made = self._record(folder)
        entries.write(made.entries, reports / "claims.json")
        record.write(made, reports / "run.json")
        paths = {}
        results = results_of(self._config)
        page = None
        if made.entries and results.is_dir():
            allure_results.write_environment(results, made.versions, made.origins, made.engine)
            allure_results.attach_picture(draw_record(made))
            try:
                page = allure_html.build(results, reports / "allure", progress=self.progress)
                paths["report"] = page
            except NoTailCarError as error:
                # The verdicts stand without it: the matrix shows them all.
                self.progress.note(f"no Allure report: {error}")
        paths["matrix"] = matrix.write(made, reports / "matrix.html", allure=page)
        paths["claims"] = reports / "claims.json"
        self._summary = terminal.summary(made, paths)
        self._forget_old(reports / "runs")

    def pytest_terminal_summary(self) -> None:
        """The verdicts in short, and what to open."""
        if not self._worker:
            sys.stdout.flush()
            self._console.print()
            self._console.print(self._summary)

    def pytest_unconfigure(self) -> None:
        """Let the terminal go."""
        stream = self._console.file
        if stream is not sys.stdout and not self._worker:
            stream.close()

    def _record(self, folder: Path) -> RunRecord:
        known = [
            Converter().structure(json.loads(file.read_text(encoding="utf-8")), About)
            for file in sorted(folder.glob("about*.json"))
        ]
        flows = tuple(
            o.fact
            for file in sorted(folder.glob("ledger*.jsonl"))
            for o in map(from_json, map(json.loads, _lines(file)))
            if isinstance(o.fact, FlowSeen) and o.episode not in CONTROLS
        )
        second = any(folder.glob(self._about_file("*", ControlProgram.LABCONTROL).name))
        program = ControlProgram.LABCONTROL if second else ControlProgram.HEADSCALE
        return RunRecord(
            run=run_id(self._config),
            began=self._began,
            seconds=round(time.time() - self._began, 3),
            versions=known[0].versions if known else {},
            origins={name: origin for about in known for name, origin in about.origins.items()},
            engine=known[0].engine if known else "",
            topology=self._topology.run_by(program),
            entries=tuple(self._entries),
            flows=flows,
            stages=self.progress.stages,
            commit=_commit(),
            absences=self._absences,
        )

    def _about_file(self, worker: str, program: ControlProgram) -> Path:
        return folder_of(self._config) / f"about{worker}-{program}.json"

    def _forget_old(self, runs: Path) -> None:
        ended = sorted(p for p in runs.iterdir() if not is_alive(p.name) and p.name != run_id(self._config))
        for folder in ended[: -_KEPT_RUNS + 1]:
            shutil.rmtree(folder, ignore_errors=True)


def _lines(file: Path) -> list[str]:
    """The lines of a JSON-lines file; str.splitlines() would cut at more characters than the newline."""
    return [line for line in file.read_text(encoding="utf-8").split("\n") if line]


def _commit() -> str:
    """The commit of the folder that the command was given in, marked when files differ; else nothing."""
    git = shutil.which("git")
    if git is None:
        return ""
    described = subprocess.run(
        [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() if described.returncode == 0 else ""
