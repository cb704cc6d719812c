"""One execution of the whole or of the floor, measured from outside: wall time, CPU time, stages."""

import json
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = "egress-worker"
REPORTS = ROOT / "reports" / "bench"
"""The reports of the measured runs, apart from those of the user's last run."""
_WHOLE = ("./scripts/runtime/smoke.sh", "-k", f"{EXAMPLE} and not sealed")
_FLOOR = ("bench/floor.sh",)
_LAST_LINES = 25
_STAGE = re.compile(r"^(\w+) +(\d+\.\d+)$", re.MULTILINE)
"""How floor.sh tells of a stage; the programs that it calls have words of their own."""
_HOST = re.compile(r"^host (\S+) (.+)$", re.MULTILINE)
"""How it tells of a host and its addresses."""
_EPISODES = (
    "runs as it stands",
    "the guard, put to the test",
    "without exit-a: a fallback has to serve",
)
"""What floor.sh does by hand of what the whole does with the example."""
_ELSEWHERE = "acme"
"""The role of the one host that is there only beside the second control server."""


class RunError(Exception):
    """What was to be measured failed; the message holds the end of what it printed."""


@dataclass(frozen=True)
class Execution:
    """One execution. All times in seconds.

    Attributes:
        seconds: from its start to its end.
        cpu: CPU time of its processes, user and system, with the engine where it was theirs to end.
        load: the machine's load average over the last minute, when it began.
        stages: what it was made of, in its order.
    """

    seconds: float
    cpu: float
    load: float
    stages: Mapping[str, float]


@dataclass(frozen=True)
class Whole(Execution):
    """One execution of smoke.sh.

    Attributes:
        ready: from its start to the lab's being ready.
        booted: from the lab's first stage to its being ready.
        results: the folder of its Allure results.
        hosts: the addresses of each host of its lab.
    """

    ready: float
    booted: float
    results: Path
    hosts: Mapping[str, frozenset[str]]


def whole() -> Whole:
    """Run smoke.sh once. Raises RunError when it does not prove every claim, or the floor does other work."""
    run = _Timed(_WHOLE, {"NOTAILCAR_REPORTS": str(REPORTS)})
    ended = time.time()
    record = json.loads((REPORTS / "run.json").read_text(encoding="utf-8"))
    folder = REPORTS / "runs" / record["run"]
    # Written when the lab is ready, and when it is gone and nothing is left to do but the pages.
    (about,) = folder.glob("about*.json")
    ready_at = about.stat().st_mtime
    gone_at = (REPORTS / "run.json").stat().st_mtime
    told: list[dict[str, Any]] = sorted(record["stages"], key=lambda s: s["began"])
    episodes = {s["what"] for s in told if s["name"] == EXAMPLE}
    if episodes != set(_EPISODES):
        raise RunError(
            f"the whole ran {sorted(episodes)} of {EXAMPLE}, and bench/floor.sh does {sorted(_EPISODES)}: "
            "it is to be brought up to date"
        )
    lab = [
        s
        for s in told
        if s["name"] in {"internet", "router", *(h["name"] for h in record["topology"]["hosts"])}
    ]
    boot_began = min(s["began"] for s in lab)
    stages = {f"{s['name']}: {s['what']}" if s["name"] == EXAMPLE else s["name"]: s["seconds"] for s in told}
    return Whole(
        seconds=run.seconds,
        cpu=run.cpu,
        load=run.load,
        stages={"start": record["began"] - run.began, **stages, "report": ended - gone_at},
        ready=ready_at - run.began,
        booted=max(s["began"] + s["seconds"] for s in lab) - boot_began,
        results=folder / "allure-results",
        hosts={
            h["name"]: frozenset((*h["v4"], *h["v6"]))
            for h in record["topology"]["hosts"]
            if h["role"] != _ELSEWHERE
        },
    )


def floor(beside: Whole) -> Execution:
    """Run the script by hand once. Raises RunError when it fails, or its lab is not that of the whole.

    Args:
        beside: the execution that it is compared with; its report is made of that one's Allure results.
    """
    run = _Timed((*_FLOOR, str(beside.results)), {})
    hosts = {name: frozenset(addresses.split()) for name, addresses in _HOST.findall(run.printed)}
    if hosts != beside.hosts:
        # Its own list of hosts does not follow fixtures/topology.toml by itself.
        other = sorted(
            name for name in hosts.keys() | beside.hosts.keys() if hosts.get(name) != beside.hosts.get(name)
        )
        raise RunError(f"bench/floor.sh is to be brought up to date: its lab differs in {', '.join(other)}")
    stages = {name: float(seconds) for name, seconds in _STAGE.findall(run.printed)}
    return Execution(run.seconds, run.cpu, run.load, stages)


class _Timed:
    """Runs a command to its end and keeps what it took."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.load = os.getloadavg()[0]
        self.began = time.time()
        began = time.monotonic()
        child = subprocess.Popen(
            argv,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert child.stdout is not None  # noqa: S101 - given as a pipe
        self.printed = child.stdout.read()
        # wait4 knows what this child took, with all that it waited for; Popen's own wait does not say.
        _, status, used = os.wait4(child.pid, 0)
        self.seconds = time.monotonic() - began
        self.cpu = used.ru_utime + used.ru_stime
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            last = "\n".join(self.printed.splitlines()[-_LAST_LINES:])
            raise RunError(f"{' '.join(argv)} ended with exit code {child.returncode}\n{last}")
