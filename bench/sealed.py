"""What a sealed allocation costs against one on the host's network: start, latency, throughput, memory.

    python -m bench.sealed [ROUNDS]

Runs egress-worker and sealed-egress-worker in turns in one lab, as they stand but for a worker that stays,
and measures from where the worker runs, by its own proxies. Everything is on one machine: what differs is the
detour, by loopback, a unix socket, TLS and DERP. Prints medians, and the lowest and highest of each.
"""

import json
import os
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from harness.assembly import default_topology, ready_lab
from harness.job import example as examples
from harness.job.rendering import render
from harness.job.submission import OwnNamespace, Submission, started
from harness.lab.lab import Lab
from harness.lab.topology import Membership, Role
from harness.management.nomad import Allocation
from harness.probes.stage import site_values
from harness.report.progress import Progress
from harness.run.run import Run

EXAMPLES = ("egress-worker", "sealed-egress-worker")
_MEGABYTES = 32
_REQUESTS = 40
_SECONDS = 60.0
_PORT = 8099
_MEMORY = 512
# Ends with its stdin.
_SERVER = f"""
import http.server, sys, threading
data = bytes({_MEGABYTES} * 1000 * 1000)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = data if self.path == "/big" else b"x"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(("", {_PORT}), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
_ASK = """
set -e
proxy=$(tr '\\0' '\\n' < "/proc/$0/environ" | sed -n 's/^HTTP_PROXY=//p')
[ -n "$proxy" ]
for n in $(seq "$2"); do
    nsenter -t "$0" -n curl -sf --max-time 60 --proxytunnel --proxy "$proxy" -o /dev/null \
        -w '%{time_total}\\n' "$1" || echo failed
done
"""


@contextmanager
def _server(lab: Lab) -> Iterator[str]:
    """A server of big answers beside the echo service; gives its URL."""
    echo = lab.topology.only(Role.ECHO)
    stream = lab.host(echo.name).open("python3", "-c", _SERVER)
    try:
        stream.read(64, _SECONDS)
        yield f"http://{echo.v4[0]}:{_PORT}"
    finally:
        stream.close()


def _ask(lab: Lab, pid: str, url: str, times: int) -> list[float]:
    said = lab.node.host.run("sh", "-c", _ASK, pid, url, str(times), silence=_SECONDS).expect().stdout
    return [float(line) for line in said.split() if line != "failed"]


def _start(allocation: Allocation) -> float:
    """Seconds from the allocation's arrival at the client to the worker's start."""
    events = [(event.at, task.name, event.type) for task in allocation.tasks for event in task.events]
    return min(at for at, name, kind in events if (name, kind) == ("worker", "Started")) - min(
        at for at, _, kind in events if kind == "Received"
    )


def _memory(lab: Lab, allocation: Allocation, tasks: Iterable[str]) -> dict[str, float]:
    """Megabytes that the engine accounts to each task, without file cache."""
    found = {}
    for task in tasks:
        url = f"http://engine/containers/{task}-{allocation.id}/stats?stream=false&one-shot=true"
        said = lab.node.host.run("curl", "-sSf", "--unix-socket", "/var/run/docker.sock", url).expect().stdout
        stats = json.loads(said)["memory_stats"]
        # As the docker command does: under cgroup v1 by the first name, under v2 by the second.
        files = stats["stats"].get("total_inactive_file", stats["stats"].get("inactive_file", 0))
        found[task] = (stats["usage"] - files) / 1e6
    return found


def measure(lab: Lab, name: str) -> dict[str, float]:
    """Run one example once: its figures by their names."""
    found = examples.load(default_topology().parent.parent / "examples" / name)
    smoke = replace(found.smoke, vars={**found.smoke.vars, "worker_requests": "9999", "worker_interval": "1"})
    values = site_values(lab.topology, lab.control.login_server)
    rendered = render(replace(found, smoke=smoke), lab.node.host, values)
    for group in rendered.job["TaskGroups"]:
        for task in group["Tasks"]:
            # At full speed on one machine, tailscaled takes more than it has in the examples.
            if task["Name"] in rendered.sidecars:
                task["Resources"]["MemoryMB"] = _MEMORY
    with Submission(lab.node.nomad, rendered, OwnNamespace("bench")) as submission:
        submission.register(lab.control.member_key(Membership(tags=found.smoke.tags)))
        allocation = submission.wait(started(rendered.workers), _SECONDS)
        container = f"worker-{allocation.id}"
        pid = (
            lab.node.host.run("docker", "inspect", "-f", "{{.State.Pid}}", container).expect().stdout.strip()
        )
        with _server(lab) as url:
            # The path to the exit node settles with the first requests.
            _ask(lab, pid, f"{url}/", 5)
            latency = _ask(lab, pid, f"{url}/", _REQUESTS)
            big = _ask(lab, pid, f"{url}/big", 3)
        memory = _memory(lab, allocation, sorted(rendered.sidecars))
        figures = {
            "start (s)": _start(allocation),
            "request (ms)": statistics.median(latency) * 1000,
            "throughput (MB/s)": _MEGABYTES / statistics.median(big),
            **{f"memory of {task} (MB)": used for task, used in memory.items()},
            "memory beside the worker (MB)": sum(memory.values()),
        }
        submission.stop()
    return figures


def main(rounds: int) -> None:
    """Measure and print."""
    taken: Mapping[str, list[dict[str, float]]] = {name: [] for name in EXAMPLES}
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        Run() as run,
        ready_lab(default_topology(), run, Progress(Console(file=nowhere))) as ready,
    ):
        for _ in range(rounds):
            for name in EXAMPLES:
                taken[name].append(measure(ready.lab, name))
    load = os.getloadavg()[0]
    print(f"{rounds} rounds; {os.cpu_count()} cores, load average {load:.1f}")
    for name, figures in taken.items():
        for figure in figures[0]:
            values = [each[figure] for each in figures]
            print(
                f"{name}: {figure}: {statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
