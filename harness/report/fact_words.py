"""Observations in words: the same ones on the terminal, on the page and in Allure."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from harness.ledger import facts as f
from harness.ledger.ledger import Observation, from_json

Names = Mapping[str, str]
"""Addresses to the names of their hosts."""

_LONGEST = 240
"""Characters of a fact that are shown: a log's tail or a payload may be pages long."""
_THOUSAND = 1000
_UNITS = (("kB", 10**3), ("MB", 10**6), ("GB", 10**9))


@dataclass(frozen=True)
class Row:
    """One observation, ready to be shown in a table."""

    number: int
    at: float
    """Unix seconds."""
    episode: str
    observer: str
    what: str


def row(item: Mapping[str, Any], names: Names) -> Row:
    """Give an evidence item of claims.json as a row."""
    return observation_row(from_json({k: v for k, v in item.items() if k not in ("role", "of")}), names)


def observation_row(observation: Observation, names: Names) -> Row:
    """Give an observation as a row."""
    return Row(
        number=observation.number,
        at=observation.at,
        episode=observation.episode,
        observer=observation.observer,
        what=_bounded(describe(observation.fact, names)),
    )


def clock(at: float) -> str:
    """Give Unix seconds as a time of day, UTC, with milliseconds."""
    return time.strftime("%H:%M:%S", time.gmtime(at)) + f".{int(at * _THOUSAND) % _THOUSAND:03d}"


def amount(number: int, noun: str) -> str:
    """Give a figure with its noun: `1 packet`, `1,204 packets`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def octets(number: int) -> str:
    """Give bytes as a person reads them, in decimal units as packet tools print: `812 B`, `3.4 kB`."""
    if number < _THOUSAND:
        return f"{number} B"
    unit, size = next(((u, s) for u, s in _UNITS if number < s * _THOUSAND), _UNITS[-1])
    return f"{number / size:.1f} {unit}"


def port(protocol: str, number: int) -> str:
    """Give `tcp/443`, or the bare protocol where it has no ports."""
    return f"{protocol}/{number}" if number else protocol


def _bounded(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _host(address: str, names: Names) -> str:
    return f"{names[address]} ({address})" if address in names else address


@singledispatch
def describe(fact: object, names: Names) -> str:
    """Give a fact in one sentence, with the hosts of its addresses where `names` knows them."""
    raise TypeError(f"{type(fact).__name__} is no fact ({len(names)} names)")


@describe.register
def _(fact: f.RequestSeen, names: Names) -> str:
    asked = f" {fact.target}" if fact.target else ""
    token = f", token {fact.token}" if fact.token else ", no token"
    return f"{fact.protocol} request{asked} from {_host(fact.peer, names)}{token}"


@describe.register
def _(fact: f.FlowSeen, names: Names) -> str:
    ends = f"{_host(fact.source, names)} → {_host(fact.destination, names)}"
    size = f"{amount(fact.packets, 'packet')}, {octets(fact.octets)}"
    # Worth a word only where it says something else than the address: a sender can forge that.
    wire = "" if names.get(fact.source) == fact.wire else f", in by the wire of {fact.wire}"
    return f"{ends} {port(fact.protocol, fact.port)}: {size}{wire}"


@describe.register
def _(fact: f.FlowBookClosed, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    return f"{amount(fact.packets_in_rows, 'packet')} in rows, {fact.packets_in_all:,} in all"


@describe.register
def _(fact: f.NameAsked, names: Names) -> str:
    return f"{_host(fact.client, names)} asked for {fact.name} {fact.record}"


@describe.register
def _(fact: f.PacketCaptured, names: Names) -> str:
    ends = f"{_host(fact.source, names)} → {_host(fact.destination, names)}"
    payload = f", begins {fact.payload!r}" if fact.payload else ""
    return f"{ends} {port(fact.protocol, fact.port)}, {octets(fact.octets)}{payload}"


@describe.register
def _(fact: f.CaptureClosed, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    return f"capture of “{fact.filter}”: {amount(fact.captured, 'packet')}, {fact.dropped:,} dropped"


@describe.register
def _(fact: f.TaskEventSeen, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    code = "" if fact.exit_code is None else f", exit code {fact.exit_code}"
    message = f": {fact.message}" if fact.message else ""
    return f"task {fact.task} {fact.event}{code}{message}"


@describe.register
def _(fact: f.TaskLog, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    return f"task {fact.task} {fact.stream}: {fact.text}"


@describe.register
def _(fact: f.AllocationSeen, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    tasks = ", ".join(f"{t.task} {_task_end(t)}" for t in fact.tasks)
    return f"allocation {fact.allocation[:8]} {fact.status}" + (f": {tasks}" if tasks else "")


@describe.register
def _(fact: f.PortsHeld, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    return f"Nomad gave it the ports {', '.join(map(str, fact.ports)) or '(none)'}"


@describe.register
def _(fact: f.ServeSeen, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    return f"tailscaled publishes by Funnel, to the whole internet: {', '.join(fact.funnel) or 'nothing'}"


@describe.register
def _(fact: f.LaunchSeen, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    return f"launched {fact.job}, {'forced' if fact.forced else 'by its schedule'}"


@describe.register
def _(fact: f.ExitWithdrawn, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    left = f"; still approved: {', '.join(fact.left)}" if fact.left else ""
    return f"{fact.host} is no exit node any more: {', '.join(fact.withdrawn)} withdrawn{left}"


@describe.register
def _(fact: f.RequestSent, names: Names) -> str:
    came = f"answered with {_host(fact.answer, names)}" if fact.answer else f"no answer ({fact.error})"
    return f"request {fact.token} was sent: {came}, after {fact.seconds:.2f} s"


@describe.register
def _(fact: f.RoundAsked, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    got = ", ".join(fact.connected) or "no connection"
    controls = (
        f"; of its {fact.controls} controls {fact.controls_connected} answered" if fact.controls else ""
    )
    return f"{fact.by} asked for {amount(fact.asked, 'thing')} ({fact.way}): {got}{controls}"


@describe.register
def _(fact: f.FaultSeen, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    return f"{fact.fault} {fact.phase}: {fact.what}"


@describe.register
def _(fact: f.AttemptSeen, names: Names) -> str:
    if not fact.connected:
        came = f"no connection ({fact.error or 'no answer'})"
    elif fact.status:
        came = f"{fact.status}, {fact.body!r}"
    else:
        came = f"connected{f', {fact.body!r}' if fact.body else ''}"
    again = f", try {fact.tries}" if fact.tries > 1 else ""
    where = f" by {fact.named}" if fact.named not in fact.target else f" ({names.get(fact.named, '')})"
    return f"{fact.by} asked for {fact.target}{where}{' as a control' if fact.control else ''}{again}: {came}"


@describe.register
def _(fact: f.PageSeen, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    return f"{fact.by}'s browser shows {fact.target} as {fact.title!r} ({fact.picture}): {fact.text}"


@describe.register
def _(fact: f.CatalogueSeen, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    told = "; ".join(
        f"{s.name} at {s.address}:{s.port}, "
        + (", ".join(f"{c.name} {c.status}" for c in s.checks) or "without a check")
        for s in fact.registered
    )
    return f"the catalogue: {told or 'nothing of this job'}"


def _task_end(task: f.TaskEnd) -> str:
    state = "failed" if task.failed else task.state
    return state if task.started else f"{state}, never started"


@describe.register
def _(fact: f.TailnetSeen, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    listed = [node.name + (" (ephemeral)" if node.ephemeral else "") for node in fact.nodes]
    return f"the control server lists, {fact.moment}: {', '.join(listed) or 'no node'}"


@describe.register
def _(fact: f.SecretScan, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    found = f"found: {', '.join(fact.hits)}" if fact.hits else "not found"
    meant = " (where it belongs)" if fact.expected and fact.hits else ""
    blind = "" if fact.marker_found else "; the marker was not found either: the search was blind"
    return f"auth key in {fact.place} ({fact.items:,} searched): {found}{meant}{blind}"


@describe.register
def _(fact: f.LieTold, names: Names) -> str:
    return f"the check service answered {_host(fact.address, names)}, {amount(fact.asked, 'time')}"


@describe.register
def _(fact: f.ListenersSeen, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    listed = [_listener(listener) for listener in fact.listeners]
    times = f", {amount(fact.looks, 'look')}" if fact.looks > 1 else ""
    return f"listening in {fact.place}, {fact.moment}{times}: {', '.join(listed) or 'nothing'}"


def _listener(listener: f.Listener) -> str:
    holder = "the harness" if listener.control else listener.task or listener.process or "nobody"
    address = f"[{listener.address}]" if ":" in listener.address else listener.address
    return f"{holder} {listener.protocol} {address}:{listener.port}"


@describe.register
def _(fact: f.ContainersSeen, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    listed = [f"{c.container[:24]} (network {c.network}) publishes {_published(c)}" for c in fact.containers]
    return f"containers, {fact.moment}: {', '.join(listed) or 'none'}"


def _published(container: f.ContainerPorts) -> str:
    return "all its ports" if container.publishes_all else ", ".join(container.published) or "nothing"


@describe.register
def _(fact: f.PortsScanned, names: Names) -> str:
    closed = f"{fact.closed:,} closed"
    opened = f"open: {', '.join(map(str, fact.open)) or 'none'}"
    opened += f" (without a word: {', '.join(map(str, fact.shut))})" if fact.shut else ""
    silent = f"silent: {', '.join(map(str, fact.silent)) or 'none'}"
    asked = f"{fact.scanner} asked every port of {_host(fact.address, names)}, {fact.protocol}"
    return f"{asked}: {closed}; {opened}; {silent}; {fact.ended - fact.began:.1f} s"


@describe.register
def _(fact: f.EscapeTried, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    came = f"{len(fact.succeeded)} say that they succeeded"
    return f"{amount(len(fact.attempts), 'attempt')} to go out directly from {fact.place}, {came}"


@describe.register
def _(fact: f.ObserverFailed, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    return f"{fact.observer} failed: {fact.problem}"


@describe.register
def _(fact: f.EpisodeEnded, names: Names) -> str:  # noqa: ARG001 - one signature for every kind
    return f"ended after {fact.ended - fact.began:.1f} s: {'; '.join((fact.outcome, *fact.notes))}"
