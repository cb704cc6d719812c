"""An agent that reads the web politely and hands in what it found: plan, act, observe, until it is done.

A starting point for your own: what comes next is decided in plan.py, what it can do stands in tools.py,
how it behaves in manners.py, and how it gets out in web.py. Standard library only.

Settings, by environment:
    AGENT_SEEDS          URLs to begin with, comma separated
    AGENT_HOSTS          hosts that links and redirects may lead to besides those of the seeds, each with
                         its subdomains, comma separated
    AGENT_REPORT_URL     where the report is posted as JSON; empty: nowhere
    AGENT_PAGES          how many pages are read in all (20)
    AGENT_DEPTH          how many links away from a seed (1)
    AGENT_HOST_DELAY     seconds between two requests to one host (1)
    AGENT_TIMEOUT        seconds that one request may take (10)
    AGENT_ATTEMPTS       how often a request is tried while it fails in passing (3)
    AGENT_LONGEST_PAUSE  seconds that a server may ask to be left alone; where it asks for more, it is
                         given up (30)
    AGENT_BODY_LIMIT     bytes of a page that are read (1048576)
    HTTP_PROXY, HTTPS_PROXY   the only ways out, both required

Prints one JSON object a step. Exit code 0: every seed was read, but those that a robots.txt forbids, and
the report was taken; 1: it was not so; 2: a setting is wrong; 143: told to stop.
"""

import json
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from types import FrameType

from plan import Plan, tidy
from tools import AGENT, Finding, StoppedError, Tools
from web import Web

EXIT_STOPPED = 143


@dataclass(frozen=True)
class Settings:
    """What the agent was told to do. Times are seconds."""

    seeds: tuple[str, ...]
    hosts: tuple[str, ...]
    report_url: str
    pages: int
    depth: int
    host_delay: float
    timeout: float
    attempts: int
    longest_pause: float
    body_limit: int
    name: str

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the environment. Raises ValueError where a setting is missing, no number or no URL."""
        seeds = _listed("AGENT_SEEDS")
        if not seeds:
            raise ValueError("AGENT_SEEDS is not set")
        report = os.environ.get("AGENT_REPORT_URL", "")
        return cls(
            seeds=tuple(dict.fromkeys(tidy(url) for url in seeds)),
            hosts=_listed("AGENT_HOSTS"),
            report_url=tidy(report) if report else "",
            pages=int(os.environ.get("AGENT_PAGES", "20")),
            depth=int(os.environ.get("AGENT_DEPTH", "1")),
            host_delay=float(os.environ.get("AGENT_HOST_DELAY", "1")),
            timeout=float(os.environ.get("AGENT_TIMEOUT", "10")),
            attempts=int(os.environ.get("AGENT_ATTEMPTS", "3")),
            longest_pause=float(os.environ.get("AGENT_LONGEST_PAUSE", "30")),
            body_limit=int(os.environ.get("AGENT_BODY_LIMIT", "1048576")),
            name=os.environ.get("NOMAD_SHORT_ALLOC_ID", "local"),
        )


def _listed(name: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in os.environ.get(name, "").split(",") if item.strip())


def run(tools: Tools, plan: Plan, report_url: str) -> list[Finding]:
    """Take step after step until the plan has none, then hand in the report. Raises StoppedError."""
    findings: list[Finding] = []
    while step := plan.next(tools.turns.due):
        finding = tools.read(step)
        plan.learn(step, finding.links)
        findings.append(_shown(finding))
    if report_url:
        findings.append(_shown(tools.hand_in(report_url, findings)))
    return findings


def _shown(finding: Finding) -> Finding:
    print(json.dumps(asdict(finding)), flush=True)
    return finding


def shortfall(findings: list[Finding], settings: Settings) -> str | None:
    """Say what is wrong with a finished run, or None. A link that leads nowhere is not."""
    wanted = {*settings.seeds, settings.report_url} - {""}
    failed = [f"{f.asked}: {f.error}" for f in findings if f.asked in wanted and f.outcome == "failed"]
    unread = sorted(set(settings.seeds) - {f.asked for f in findings})
    if unread:
        failed.append(f"AGENT_PAGES was too small for {', '.join(unread)}")
    if not any(f.tool == "read" and f.outcome == "done" for f in findings):
        failed.append("no page was read")
    return "; ".join(failed) or None


def main() -> int:
    """Run as the environment says; give the exit code."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    # As process 1 of its container it would not hear these otherwise.
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)

    try:
        settings = Settings.from_environment()
        web = Web(timeout=settings.timeout, body_limit=settings.body_limit)
    except ValueError as problem:
        print(f"{AGENT}: {problem}", file=sys.stderr)
        return 2

    plan = Plan(settings.seeds, settings.hosts, pages=settings.pages, depth=settings.depth)
    tools = Tools(
        web,
        plan,
        stop,
        name=settings.name,
        host_delay=settings.host_delay,
        attempts=settings.attempts,
        longest_pause=settings.longest_pause,
    )
    try:
        findings = run(tools, plan, settings.report_url)
    except StoppedError:
        return EXIT_STOPPED
    finally:
        web.close()
    wrong = shortfall(findings, settings)
    if wrong:
        print(f"{AGENT}: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
