"""What a session leaves for people: lines on the terminal, and the files of reports/.

With xdist, workers hand their verdicts to the controller on their test reports; only the controller
speaks and writes reports.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from cattrs import Converter
from rich.console import Console, RenderableType

from harness.assembly import Ready
from harness.claims.catalogue import CLAIMS
from harness.claims.verdict import Outcome
from harness.errors import EXIT_LAB, NoTailCarError
from harness.job import sources
from harness.job.example import Example
from harness.lab import topology_file
from harness.lab.topology import ControlProgram, Topology
from harness.ledger.episodes import CONTROLS
from harness.ledger.facts import FlowSeen, PageSeen
from harness.ledger.ledger import Ledger, from_json
from harness.plugin.executions import Judged
from harness.plugin.keys import (
    ENTRY,
    ERROR,
    NEWS_FILES,
    OUTSIDE,
    RECORDING,
    folder_of,
    results_of,
    run_id,
    topology_path,
)
from harness.report import (
    allure_html,
    allure_results,
    changes,
    entries,
    episode,
    history,
    matrix,
    record,
    seal,
    terminal,
    timeline_picture,
    topology_picture,
    trend,
)
from harness.report.allure_results import Step
from harness.report.changes import Changes
from harness.report.entries import ClaimEntry
from harness.report.episode import EpisodeView
from harness.report.files import write_whole
from harness.report.leaks import is_of_fault
from harness.report.news import Following, NewsFile
from harness.report.progress import Progress
from harness.report.record import LAB, LIVE, Failure, RunRecord, Stage, address_names
from harness.report.topology_picture import draw_record
from harness.run import checkout, places
from harness.run.run import Run, is_alive

_TELLING = pytest.StashKey[Callable[[], None]]()
"""What is told to Allure of a test's verdict, once the test itself is called."""
_ABSENCES = "notailcar.absences"
_SOURCES = "notailcar.sources"
_KEPT_RUNS = 10
_UNFINISHED = (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
_FAILURE = "notailcar.failure"
"""The claim of a test that came to no verdict, and why."""
_ASKED = "asked.json"
_PHASES = ("setup", "call", "teardown")
_REASON = 300  # characters of the reason of a failure


@dataclass(frozen=True)
class About:
    """What the process with the lab knows, and the one that writes the report needs."""

    engine: str
    versions: Mapping[str, str]
    origins: Mapping[str, str]
    stages: tuple[Stage, ...]


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


class Recording:
    """Owns the terminal and the reports of one session.

    Attributes:
        progress: where what takes time is shown.
        refuted: whether a claim was refuted, or not proven.
        beyond_sight: whether there was a claim that nobody on this site could have proven.
        worst_error: the exit code of what went wrong with the lab or the input; None when nothing did.
    """

    def __init__(self, config: pytest.Config, began: float) -> None:
        """Take the terminal while nothing is captured; the session began then, in Unix seconds."""
        self._config = config
        self._worker = str(getattr(config, "workerinput", {}).get("workerid", ""))
        self._console = Console(quiet=True) if self._worker else terminal.console_past_capture(sys.stdout)
        folder_of(config).mkdir(parents=True, exist_ok=True)
        news_file = folder_of(config) / NEWS_FILES.replace("*", self._worker)
        news = NewsFile(news_file) if self._worker else None
        self.progress = Progress(self._console, tell=news)
        self._following: Following | None = None
        self._began = began
        self._entries: list[ClaimEntry] = []
        self._failures: list[Failure] = []
        self._absences: dict[str, dict[str, str]] = {}
        self._sources: dict[str, dict[str, str]] = {}
        self._site = str(config.getoption("--site"))
        self._topology: Topology = (
            _described()
            if self._site == LIVE
            else topology_file.load(topology_path(config), ControlProgram.LABCONTROL)
        )
        self._names = address_names(self._topology)
        self.worst_error: int | None = None
        self.refuted = False
        self.beyond_sight = False
        self._claimed = False
        self._summary: RenderableType = ""
        self._said: set[str] = set()

    # -- for the process that has the lab

    def ask(self, items: Iterable[pytest.Item]) -> None:
        """Keep what is asked for, so that the report can say what came to no verdict; every worker does."""
        asked = {item.nodeid: pair for item in items if (pair := _asked_of(item))}
        write_whole(folder_of(self._config) / _ASKED, json.dumps(asked))

    def run(self, program: ControlProgram) -> Run:
        """The run that owns the lab of this process that has this control program."""
        second = "" if program is ControlProgram.HEADSCALE else program
        return Run("-".join(filter(None, (run_id(self._config), self._worker, second))))

    def ledger(self) -> Ledger:
        """The ledger of this process."""
        return Ledger(folder_of(self._config) / f"ledger{self._worker}.jsonl")

    def live_run(self) -> Run:
        """The run that owns what this process makes on a live site."""
        return Run("-".join(filter(None, (run_id(self._config), self._worker))))

    def live_ready(self, where: str, versions: Mapping[str, str]) -> None:
        """Keep what the report says of a live site."""
        about = About(where, versions, {}, ())
        self._about_file(self._worker, LIVE).write_text(
            json.dumps(Converter().unstructure(about)), encoding="utf-8"
        )

    def ready(self, ready: Ready) -> None:
        """Keep what the report says of where things came from."""
        about = About(ready.engine, ready.versions, ready.origins, ())
        self._about_file(self._worker, ready.lab.topology.program).write_text(
            json.dumps(Converter().unstructure(about)), encoding="utf-8"
        )

    def add(self, item: pytest.Item, judged: Judged) -> None:
        """Put a verdict on the report of its test, and have it told to Allure when the test is called."""
        example, verdict = judged.example, judged.verdict
        entry = entries.to_entry(example.name, judged.claim.id, verdict, judged.seconds)
        item.user_properties.append((ENTRY, json.dumps(Converter().unstructure(entry))))
        absences = {c.id: why for c in CLAIMS if (why := c.absence(example.smoke))}
        item.user_properties.append((_ABSENCES, json.dumps(absences)))
        item.user_properties.append((_SOURCES, json.dumps(self._sources.get(example.name, {}))))
        view = self._view(judged)
        steps = allure_results.episode_steps(judged.history)
        item.stash[_TELLING] = lambda: self._tell(judged, steps, view)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Keep what an example's files are before the first claim of it is run."""
        example = getattr(item, "callspec", SimpleNamespace(params={})).params.get("example")
        if isinstance(example, Example) and example.name not in self._sources:
            self._sources[example.name] = sources.digests(example)

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

    def _view(self, judged: Judged) -> EpisodeView | None:
        """What there is to show of the episodes, kept for the page; nothing where all went as it should."""
        example, claim, verdict = judged.example, judged.claim, judged.verdict
        # Elsewhere than in a lab there are no flows, captures and faults to be shown.
        if self._site != LAB or (verdict.outcome is Outcome.PROVEN and not is_of_fault(claim.id)):
            return None
        egress = example.smoke.egress
        view = episode.view(
            example.name,
            claim.id,
            verdict,
            judged.history.episode(*claim.episodes),
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
            report.user_properties = [*report.user_properties, (ERROR, str(error.exit_code))]
            report.user_properties += _failure(item, report, error.problem)
        elif report.failed and any(name == ENTRY for name, _ in report.user_properties):
            report.longrepr = str(error)
        elif report.failed and item.get_closest_marker("claim"):
            # Whatever else went wrong, nothing was refuted by it.
            report.user_properties = [*report.user_properties, (ERROR, str(EXIT_LAB))]
            report.user_properties += _failure(
                item, report, f"{type(error).__name__}: {error}".removesuffix(": ")
            )
        return report

    # -- for the process that speaks to the person

    def follow_workers(self) -> None:
        """Show the stages of xdist's workers until the session ends; called again, it goes on."""
        if self._following is None:
            self._following = Following(self.progress, folder_of(self._config), NEWS_FILES)
            self._following.__enter__()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One line a claim, as soon as there is a verdict."""
        if self._worker:
            return
        self._claimed |= "claim" in report.keywords
        said = dict(report.user_properties)
        if report.when == "call" and ENTRY in said:
            entry = entries.from_data(json.loads(str(said[ENTRY])), "entry")
            self._entries.append(entry)
            self._absences[entry.subject] = json.loads(str(said[_ABSENCES]))
            self._sources[entry.subject] = json.loads(str(said[_SOURCES]))
            if report.skipped:
                self.beyond_sight = True
            else:
                self.refuted |= entry.verdict is not Outcome.PROVEN
            self._console.print(terminal.claim_line(entry, self._console.width, self._names))
        elif report.failed and ERROR in said:
            self.worst_error = max(self.worst_error or 0, int(str(said[ERROR])))
            if _FAILURE in said:
                self._failures.append(Failure(**json.loads(str(said[_FAILURE]))))
        elif report.failed and report.when not in _PHASES and (asked := self._asked.get(report.nodeid)):
            # xdist's own word on the test in which a worker died: nothing was refuted by that.
            self.worst_error = EXIT_LAB
            self._failures.append(Failure(*asked, "the process that ran it died"))

    def pytest_runtest_logstart(self) -> None:
        """Let pytest's own lines out, which wait where the output is no terminal: first come, first shown."""
        sys.stdout.flush()

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """No letter for what has a line of its own."""
        # What goes wrong beside a verdict has no line of its own.
        broken = report.failed and report.when != "call"
        if not broken and any(name == ENTRY for name, _ in report.user_properties):
            return ("" if report.when != "call" else report.outcome, "", "")
        return None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the reports, once the lab is gone."""
        if self._worker:
            return
        if self._following:
            self._following.__exit__(None, None, None)
        folder, reports = folder_of(self._config), places.reports()
        if not (self._claimed or self._asked or self._config.stash.get(OUTSIDE, None)):
            # Scenarios of one's own have a ledger; the verdicts of an earlier run stay what they are.
            self._forget_old(reports / "runs")
            return
        made = self._record(folder)
        claims = reports / "claims.json"
        entries.write(made.entries, claims)
        made = replace(made, digests=seal.digests([claims, *folder.glob("ledger*.jsonl")], reports))
        record.write(made, reports / "run.json")
        changed, trend_page = self._remember(made, reports, exitstatus)
        paths = {}
        results = results_of(self._config)
        page = None
        if made.entries and results.is_dir():
            allure_results.write_environment(results, made.versions, made.origins, made.engine)
            if made.site == LAB:
                allure_results.attach_picture(draw_record(made))
            try:
                page = allure_html.build(results, reports / "allure", progress=self.progress)
                paths["report"] = page
            except NoTailCarError as error:
                # The verdicts stand without it: the matrix shows them all.
                self.progress.note(f"no Allure report: {error}")
        paths["matrix"] = matrix.write(
            made, reports / "matrix.html", allure=page, trend=trend_page, changes=changed
        )
        if trend_page:
            paths["trend"] = trend_page
        paths["claims"] = claims
        self._summary = terminal.summary(made, paths, changed)
        self._forget_old(reports / "runs")

    def pytest_terminal_summary(self) -> None:
        """The verdicts in short, and what to open."""
        if not self._worker:
            sys.stdout.flush()
            if self._claimed:
                self._console.print()
                self._console.print(self._summary)

    def pytest_unconfigure(self) -> None:
        """Let the terminal go."""
        stream = self._console.file
        if stream is not sys.stdout and not self._worker:
            stream.close()

    def _remember(
        self, made: RunRecord, reports: Path, exitstatus: int
    ) -> tuple[Changes | None, Path | None]:
        """Put the run into the history; what changed since the last green one, and the page with all of them.

        The verdicts stand without it: a history that cannot be written is no error of the run.
        """
        file = reports / history.FILE
        unfinished = self.worst_error is not None or exitstatus in _UNFINISHED
        past = history.of(made, unfinished=unfinished)
        try:
            earlier = history.read(file)
            history.append(file, past)
            page = trend.write((*earlier, past), reports / "trend.html")
        except OSError as error:
            self.progress.note(f"no history: {error.filename or file}: {error.strerror}")
            return None, None
        return changes.changes(past, earlier), page

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
        outside: dict[str, str] = self._config.stash.get(OUTSIDE, {})
        return RunRecord(
            run=run_id(self._config),
            began=self._began,
            seconds=round(time.time() - self._began, 3),
            versions={name: version for about in known for name, version in about.versions.items()},
            origins={name: origin for about in known for name, origin in about.origins.items()},
            engine=known[0].engine if known else "",
            topology=self._topology.run_by(program),
            site=self._site,
            entries=tuple(self._entries),
            flows=flows,
            stages=self.progress.stages,
            commit=checkout.commit(),
            absences=self._absences,
            sources=self._sources,
            outside=outside,
            failures=self._without_verdict(),
        )

    @property
    def _asked(self) -> dict[str, tuple[str, str]]:
        """The example and the claim of each test that was to be run, by its id."""
        file = folder_of(self._config) / _ASKED
        if not file.is_file():
            return {}
        found: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
        return {test: (subject, claim) for test, (subject, claim) in found.items()}

    def _without_verdict(self) -> tuple[Failure, ...]:
        """What failed, and what the run did not come to."""
        known = {(e.subject, e.claim) for e in self._entries} | {(f.subject, f.claim) for f in self._failures}
        left = [asked for asked in self._asked.values() if asked not in known]
        return (
            *self._failures,
            *(Failure(*asked, "the run ended before it", reached=False) for asked in left),
        )

    def _about_file(self, worker: str, site: str) -> Path:
        return folder_of(self._config) / f"about{worker}-{site}.json"

    def _forget_old(self, runs: Path) -> None:
        ended = sorted(p for p in runs.iterdir() if not is_alive(p.name) and p.name != run_id(self._config))
        for folder in ended[: -_KEPT_RUNS + 1]:
            shutil.rmtree(folder, ignore_errors=True)


def _failure(item: pytest.Item, report: pytest.TestReport, reason: str) -> list[tuple[str, object]]:
    """What a report says of a claim that came to no verdict; nothing where there is one."""
    asked = _asked_of(item)
    if asked is None or any(name == ENTRY for name, _ in report.user_properties):
        return []
    subject, claim = asked
    failure = Failure(subject, claim, " ".join(reason.split())[:_REASON])
    return [(_FAILURE, json.dumps(Converter().unstructure(failure)))]


def _asked_of(item: pytest.Item) -> tuple[str, str] | None:
    """The example and the claim that a test asks about; nothing where it asks about none."""
    marker = item.get_closest_marker("claim")
    call = getattr(item, "callspec", None)
    if marker is None or call is None or "example" not in call.params:
        return None
    fault = call.params.get("fault")
    claim = str(marker.args[0])
    return call.params["example"].name, f"{claim}.{fault.name}" if fault else claim


def _described() -> Topology:
    from harness.live.described import described  # noqa: PLC0415 - only where there is a live site

    return described()


def _lines(file: Path) -> list[str]:
    """The lines of a JSON-lines file; str.splitlines() would cut at more characters than the newline."""
    return [line for line in file.read_text(encoding="utf-8").split("\n") if line]
