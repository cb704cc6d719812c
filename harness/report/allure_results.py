"""What a scenario writes into Allure's results: labels, verdicts, steps, packets, the environment."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import allure
import allure_commons
from allure_commons.model2 import TestStepResult

from harness.claims.verdict import Verdict
from harness.ledger.facts import EpisodeEnded, TaskEventSeen
from harness.ledger.ledger import History, to_json
from harness.report import claim_words, templates
from harness.report.fact_words import Names, Row, clock, observation_row
from harness.report.files import write_whole

_MILLISECONDS = 1000
# These two carry no types.
_DYNAMIC: Any = allure.dynamic
_ATTACH: Any = allure.attach
_PCAP = "application/vnd.tcpdump.pcap"


def label(claim: str, example: str) -> None:
    """Put the running test where its claim belongs: epic, feature and story; and give it a title."""
    _DYNAMIC.epic(claim_words.story(claim))
    _DYNAMIC.feature(claim)
    _DYNAMIC.story(example)
    _DYNAMIC.title(f"{example}: {claim_words.title(claim)}")


def attach_verdict(verdict: Verdict, names: Names | None = None, look_first: Iterable[str] = ()) -> None:
    """Attach a verdict to the running test or step: a page to read, the rows as CSV, all of it as JSON.

    Args:
        verdict: what the claim came to.
        names: addresses to hosts, for the words.
        look_first: what to look at first, in sentences.
    """
    _DYNAMIC.description("\n\n".join((f"**{verdict.outcome}**: {verdict.reason}", *look_first)))
    evidence = tuple(observation_row(o, names or {}) for o in verdict.evidence)
    controls = tuple(observation_row(o, names or {}) for o in verdict.controls)
    page = templates.render("verdict.html.j2", verdict=verdict, evidence=evidence, controls=controls)
    allure.attach(page, f"verdict: {verdict.outcome}", allure.attachment_type.HTML)
    allure.attach(_as_csv(evidence, controls), "evidence and controls", allure.attachment_type.CSV)
    allure.attach(_as_json(verdict), "verdict as JSON", allure.attachment_type.JSON)


def _as_csv(evidence: Iterable[Row], controls: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("role", "no", "utc", "episode", "seen by", "what was seen"))
    for role, rows in (("evidence", evidence), ("control", controls)):
        writer.writerows((role, r.number, clock(r.at), r.episode, r.observer, r.what) for r in rows)
    return text.getvalue()


def _as_json(verdict: Verdict) -> str:
    data = {
        "verdict": verdict.outcome,
        "reason": verdict.reason,
        "evidence": [to_json(o) for o in verdict.evidence],
        "controls": [to_json(o) for o in verdict.controls],
    }
    return json.dumps(data, ensure_ascii=False, indent=2)


@dataclass(frozen=True)
class Step:
    """Something that went on in an episode: when, in Unix seconds, and what it was made of."""

    title: str
    began: float
    ended: float
    steps: tuple["Step", ...] = ()


def episode_steps(history: History) -> tuple[Step, ...]:
    """Read the steps out of a subject's history: each episode, and in it what its tasks did."""
    found = []
    for observation, end in history.of(EpisodeEnded):
        events = [e for _, e in history.episode(observation.episode).of(TaskEventSeen)]
        found.append(
            Step(
                title=f"{observation.episode}: {end.outcome}",
                began=end.began,
                ended=end.ended,
                steps=tuple(_task_steps(events, end.ended)),
            )
        )
    return tuple(sorted(found, key=lambda s: s.began))


def _task_steps(events: Iterable[TaskEventSeen], ended: float) -> Iterator[Step]:
    by_task: dict[str, list[TaskEventSeen]] = {}
    for event in sorted(events, key=lambda e: e.event_at):
        by_task.setdefault(f"{event.allocation} {event.task}", []).append(event)
    steps = []
    for of_task in by_task.values():
        ends = [*(b.event_at for _, b in pairwise(of_task)), ended]
        for event, end in zip(of_task, ends, strict=True):
            code = "" if event.exit_code is None else f", exit code {event.exit_code}"
            message = f": {event.message}" if event.message else ""
            # An event that ends a task lasts no time.
            until = event.event_at if event.exit_code is not None else max(end, event.event_at)
            steps.append(Step(f"{event.task}: {event.event}{code}{message}", event.event_at, until))
    yield from sorted(steps, key=lambda s: s.began)


def show_steps(steps: Iterable[Step]) -> None:
    """Write steps into the running test, with the times that they had and not those of this call."""
    for step in steps:
        with allure.step(step.title):
            item = _running_step()
            show_steps(step.steps)
        if item is not None:
            item.start, item.stop = round(step.began * _MILLISECONDS), round(step.ended * _MILLISECONDS)


def _running_step() -> TestStepResult | None:
    """The step that is open now. Allure's own calls give no hold of it; without Allure there is none."""
    for plugin in allure_commons.plugin_manager.get_plugins():
        if (logger := getattr(plugin, "allure_logger", None)) is not None:
            found: TestStepResult | None = logger.get_last_item(TestStepResult)
            return found
    return None


def attach_packets(file: Path, name: str = "packets") -> None:
    """Attach a capture, to be opened in Wireshark."""
    _ATTACH.file(str(file), name, attachment_type=_PCAP, extension="pcap")


def attach_page(file: Path, name: str) -> None:
    """Attach the picture of a page, PNG."""
    _ATTACH.file(str(file), name, attachment_type=allure.attachment_type.PNG)


def attach_drawing(svg: str, name: str) -> None:
    """Attach a picture to the running test."""
    allure.attach(svg, name, allure.attachment_type.SVG)


def attach_picture(svg: str) -> None:
    """Attach the topology's picture to the whole report; to be called once, from the end of the session."""
    allure.global_attach(svg, "topology with the flows of the run", allure.attachment_type.SVG)


def write_environment(
    results: Path, versions: Mapping[str, str], origins: Mapping[str, str], engine: str
) -> None:
    """Write `environment.properties` into a folder of results: versions, origins of images, the engine."""
    values = {"engine": engine, **versions, **origins}
    lines = [f"{_escaped(key, ' :=#!')}={_escaped(value, '')}" for key, value in values.items()]
    write_whole(results / "environment.properties", "\n".join(lines) + "\n")


def _escaped(text: str, special: str) -> str:
    """Text as Java properties have it: backslashes, line ends, and in keys what would end them."""
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return "".join(f"\\{c}" if c in special else c for c in escaped)
