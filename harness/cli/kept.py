"""A lab that is kept: `up` leaves a keeper process behind that owns it, `down` tells the keeper to end."""

import fcntl
import json
import os
import shutil
import signal
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness import assembly
from harness.assembly import Ready
from harness.errors import UsageError
from harness.lab.topology import ControlProgram
from harness.report.terminal import Progress
from harness.run import places
from harness.run.interrupts import Interrupts
from harness.run.run import Run, is_alive
from harness.supply.pins import Pins


@dataclass(frozen=True)
class Kept:
    """Where the kept lab is."""

    run: str
    keeper: int
    """The pid of the process that owns it; it is the one that holds the run's lock."""
    engine: str
    containers: dict[str, str]
    """Host to container."""


def _file() -> Path:
    return places.cache() / "kept.json"


def current() -> Kept:
    """The kept lab. Raises UsageError when there is none."""
    try:
        kept = Kept(**json.loads(_file().read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UsageError("no lab is kept", remedy="bring one up with `notailcar up`") from None
    if not is_alive(kept.run):
        _file().unlink(missing_ok=True)
        raise UsageError(
            "the kept lab is gone: its keeper was killed",
            remedy="remove what it left with `notailcar gc`, then `notailcar up`",
        )
    return kept


def up(topology: Path, program: ControlProgram, pins: Pins, console: Console) -> None:
    """Boot a lab with a control program, hand it to a keeper, and say how to reach each host.

    `pins` say of which versions it is.
    """
    if _file().exists() and is_alive(json.loads(_file().read_text(encoding="utf-8"))["run"]):
        raise UsageError("a lab is kept already", remedy="use it, or end it with `notailcar down`")
    stack = ExitStack()
    with Interrupts(), stack:
        with Progress(console) as progress:
            run = stack.enter_context(Run())
            ready = stack.enter_context(assembly.ready_lab(topology, run, progress, program, pins=pins))
        sys.stdout.flush()
        keeper = os.fork()
        if keeper == 0:
            _keep(stack)
        hosts = {name: host.id for name, host in ready.lab.hosts.items()}
        kept = Kept(run.id, keeper, ready.url, hosts)
        _file().write_text(json.dumps(asdict(kept)), encoding="utf-8")
        _describe(ready, console)
        sys.stdout.flush()
        # The keeper holds the run's lock and the engine's lease by itself: this process must undo nothing.
        os._exit(0)


def _keep(stack: ExitStack) -> None:
    """In the keeper: own the lab until SIGTERM, then remove it. Does not return."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(places.cache() / "keeper.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    for standard, target in ((0, null), (1, log), (2, log)):
        os.dup2(target, standard)
    signal.sigwait({signal.SIGTERM})
    code = 0
    try:
        _file().unlink(missing_ok=True)
        stack.close()
    except Exception as error:  # noqa: BLE001 - the last words of a process without a terminal
        print(error, file=sys.stderr, flush=True)
        code = 1
    os._exit(code)


def _describe(ready: Ready, console: Console) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("host", "role", "IPv4", "IPv6", "names"):
        table.add_column(column)
    internet = ready.lab.topology.internet
    table.add_row(internet.name, "router, DNS", str(internet.v4), str(internet.v6), "")
    for host in ready.lab.topology.hosts:
        role = "exit node" if host.tailnet and host.tailnet.exit_node else str(host.role)
        v4, v6 = ", ".join(map(str, host.v4)), ", ".join(map(str, host.v6))
        table.add_row(host.name, role, v4, v6, ", ".join(host.all_names))
    console.print(table)
    runs = ", ".join(f"{name} {version}" for name, version in sorted(ready.versions.items()))
    console.print(f"\nIt runs {runs}.", highlight=False)
    console.print(
        "\nRun a command in a host:   notailcar exec HOST COMMAND...\n"
        "  the Nomad node           notailcar exec node nomad job status\n"
        "  a tailnet member         notailcar exec client tailscale status\n"
        "  the flow book            notailcar exec internet nft list table inet flowbook\n"
        "  who was at the echo      notailcar exec echo cat /run/echo/seen.jsonl\n"
        "Remove the lab:            notailcar down",
        highlight=False,
    )


def execute(host: str, command: tuple[str, ...]) -> None:
    """Become a command in a host of the kept lab; the exit code is the command's. Raises UsageError."""
    kept = current()
    if host not in kept.containers:
        raise UsageError(
            f"the lab has no host {host}", remedy=f"its hosts are {', '.join(sorted(kept.containers))}"
        )
    docker = shutil.which("docker")
    if docker is None:
        raise UsageError(
            "the docker command is not on PATH", remedy="install it (Debian: docker.io) to enter hosts"
        )
    terminal = ("--tty",) if sys.stdin.isatty() and sys.stdout.isatty() else ()
    argv = [
        "docker",
        "--host",
        kept.engine,
        "exec",
        "--interactive",
        *terminal,
        kept.containers[host],
        *command,
    ]
    os.execv(docker, argv)  # noqa: S606 - an argv list, without a shell


def down(console: Console) -> None:
    """Tell the keeper to end and wait until everything is gone. Raises UsageError when no lab is kept."""
    kept = current()
    lock = os.open(places.runs() / kept.run / "lock", os.O_RDWR)
    try:
        with Progress(console) as progress, progress.stage("lab", "is removed"):
            os.kill(kept.keeper, signal.SIGTERM)
            # The kernel lets the lock go when the keeper has ended.
            fcntl.flock(lock, fcntl.LOCK_EX)
    finally:
        os.close(lock)
