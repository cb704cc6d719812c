"""What a job is, as far as it can be read from it: its tasks' parts, its ways out, what it serves. Pure.

It is read as Nomad has rendered it, by what tasks do and not by what they are called: a sidecar is a task
that runs tailscaled, an exit node is what tailscale is told to use.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.job import serving, source
from harness.job.example import EXAMPLES_KEY, AuthKeyPlace, Example, ServePromise
from harness.job.rendering import Rendered
from harness.job.serving import Published

_EXIT = re.compile(r"--?exit-node[= ]\"?'?([^\s\"',\]]+)")
_LOGIN = re.compile(r"--?login-server[= ]\"?'?([^\s\"',\]]+)")
_TAG = re.compile(r"\btag:[a-z0-9][a-z0-9-]*")
_VARIABLE_READ = re.compile(r"nomadVar\s+\\?\"([^\"\\]+)\\?\"")
_ITEM = re.compile(r"\.(\w+)")
_ACTION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_URL = re.compile(r"\bhttps?://([a-z0-9][a-z0-9.-]*\.[a-z]{2,})(?=[/:,\s\"'?]|$)", re.IGNORECASE)
_EXIT_SETTINGS = ("EXIT_NODE", "TS_EXIT_NODE", "TAILSCALE_EXIT_NODE")
_FALLBACK_SETTINGS = ("FALLBACK_EXIT_NODES",)
_LOGIN_SETTINGS = ("LOGIN_SERVER", "TS_LOGIN_SERVER", "TAILSCALE_LOGIN_SERVER")
_PROXY_SETTINGS = ("http_proxy", "https_proxy", "all_proxy")
TAILSCALES_OWN = "https://controlplane.tailscale.com"


@dataclass(frozen=True)
class TaskRead:
    """One task, and what it is taken for."""

    group: str
    name: str
    part: str
    """sidecar, guard, gate, serve, worker, or beside: what neither goes out nor waits."""
    why: str
    """What says so, in a few words."""
    image: str


@dataclass(frozen=True)
class Reading:
    """What a job was taken for."""

    job: str
    kind: str
    tasks: tuple[TaskRead, ...]
    exits: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    confined: bool = False
    serve: tuple[ServePromise, ...] = ()
    by_health: bool = False
    """Whether a path of what it serves is that of its own health check."""
    tags: tuple[str, ...] = ()
    auth_key: AuthKeyPlace = EXAMPLES_KEY
    variables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What else it reads from Nomad Variables: items by path."""
    login_server: str = TAILSCALES_OWN
    asks: tuple[str, ...] = ()
    """The names of the internet that its workers' settings and scripts speak of."""
    proxied: bool = False
    """Whether a worker is told of a proxy."""

    def of(self, part: str) -> tuple[str, ...]:
        """The names of the tasks of one part."""
        return tuple(t.name for t in self.tasks if t.part == part)


@dataclass(frozen=True)
class _Task:
    group: str
    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.data["Name"])

    @property
    def config(self) -> Mapping[str, Any]:
        return self.data.get("Config") or {}

    @property
    def image(self) -> str:
        return str(self.config.get("image") or "")

    @property
    def environment(self) -> dict[str, str]:
        return {k: str(v) for k, v in (self.data.get("Env") or {}).items()}

    @property
    def texts(self) -> dict[str, str]:
        """Its command line, and its templates by their destination."""
        words = [self.config.get(key) for key in ("entrypoint", "command", "args")]
        line = [str(w) for word in words if word for w in (word if isinstance(word, list) else [word])]
        templates = self.data.get("Templates") or ()
        return {"": " ".join(line), **{t["DestPath"]: t.get("EmbeddedTmpl") or "" for t in templates}}

    @property
    def said(self) -> str:
        """All that is written in it."""
        return "\n".join((*self.texts.values(), *(f"{k}={v}" for k, v in self.environment.items())))

    def setting(self, names: Iterable[str]) -> str:
        """The first of these variables that is set to something."""
        return next((v for n in names if (v := self.environment.get(n, ""))), "")

    def told(self, pattern: re.Pattern[str]) -> str:
        """What a command of it is given by an option; a shell's own variable is looked up in its settings."""
        for found in pattern.findall(self.said):
            name = re.fullmatch(r"\$\{?(\w+)\}?", found)
            value = self.environment.get(name[1], "") if name else found
            if value and not value.startswith("$"):
                return value
        return ""


def read(rendered: Rendered, text: str, file: Path) -> Reading:
    """Read a job.

    Args:
        rendered: the job as Nomad has rendered it.
        text: the job file, for the lines that are named.
        file: where that is.

    Raises:
        UsageError: it has no tailscaled in it, or neither leaves by an exit node nor serves: file and line.
    """
    tasks = _tasks(rendered)
    publishing = {t.name: serving.published(t.environment, t.texts) for t in tasks}
    parts = tuple(_part(t, rendered, publishing[t.name]) for t in tasks)
    _require_sidecar(parts, tasks, rendered, text, file)
    exits = _names(t.setting(_EXIT_SETTINGS) or t.told(_EXIT) for t in tasks)
    what = [p for t in tasks for p in publishing[t.name]]
    if not exits and not what:
        raise UsageError(
            f"{file}:{source.line_of(text, r'^job ')}: job {rendered.id} joins a tailnet, "
            "and neither uses an exit node nor serves anything: there is nothing to prove of it",
            remedy="tell tailscale to use an exit node (EXIT_NODE, --exit-node=...) or to serve "
            "(SERVE, `tailscale serve ...`); modules/nomad has both, ready to paste",
        )
    health = _health(rendered, tasks)
    promises = tuple(dict.fromkeys(p.promise(health) for p in what))
    workers = [t for t in tasks if t.name in {p.name for p in parts if p.part == "worker"}]
    key, others = _variables_read(tasks)
    return Reading(
        job=rendered.id,
        kind="egress" if exits else "serve",
        tasks=parts,
        exits=exits[:1],
        fallback=_names(
            (*exits[1:], *(n for t in tasks for n in t.setting(_FALLBACK_SETTINGS).split(","))),
            but=exits[:1],
        ),
        confined=bool(exits) and rendered.sealed == rendered.workers,
        serve=promises,
        by_health=any(p.promise(health) != p.promise({}) for p in what),
        tags=tuple(dict.fromkeys(_TAG.findall("\n".join(t.said for t in tasks)) or _TAG.findall(text)))[:1],
        auth_key=key,
        variables=others,
        login_server=next(filter(None, (t.setting(_LOGIN_SETTINGS) or t.told(_LOGIN) for t in tasks)), "")
        or TAILSCALES_OWN,
        asks=tuple(sorted({n.lower() for t in workers for n in _URL.findall(_spoken_to(t))})),
        proxied=any(k.lower() in _PROXY_SETTINGS and v for t in workers for k, v in t.environment.items()),
    )


def _spoken_to(task: _Task) -> str:
    """Its settings and its command line: a program's own text may speak of addresses that it never asks."""
    return "\n".join((task.texts[""], *task.environment.values()))


def _names(found: Iterable[str], but: tuple[str, ...] = ()) -> tuple[str, ...]:
    return tuple(n for n in dict.fromkeys(name.strip() for name in found) if n and n not in but)


def _part(task: _Task, rendered: Rendered, publishes: list[Published]) -> TaskRead:
    lifecycle = task.data.get("Lifecycle") or {}
    knows = bool(task.setting(_EXIT_SETTINGS))
    if _runs_tailscaled(task):
        if lifecycle.get("Hook") == "prestart" and lifecycle.get("Sidecar"):
            part, why = "sidecar", "runs tailscaled, and is there before and beside the others"
        else:
            part, why = "sidecar, misplaced", "runs tailscaled"
    elif publishes or "SERVE_CONFIG" in task.environment:
        part, why = "serve", "publishes by Tailscale Serve"
    elif task.name in rendered.guards:
        part, why = (
            "guard",
            "must end well before a worker starts" + (", and knows the exit" if knows else ""),
        )
    elif task.name in rendered.sidecars and knows:
        part, why = "gate", "stays beside the others, and knows the exit"
    elif task.name in rendered.workers:
        part, why = "worker", "a main task"
    else:
        part, why = "beside", f"its lifecycle is {lifecycle.get('Hook')}"
    return TaskRead(task.group, task.name, part, why, task.image)


def _runs_tailscaled(task: _Task) -> bool:
    said = "\n".join(line for line in task.said.splitlines() if not line.lstrip().startswith(("#", "//")))
    if re.search(r"^\s*(exec\s+)?(\S*/)?tailscaled(\s|$)|\btailscaled\s+(-|\"\$@\")", said, re.MULTILINE):
        return True
    # The Tailscale image runs tailscaled by itself, when it is not told to run something else.
    default = not task.texts[""] or "containerboot" in task.texts[""]
    return default and "tailscale" in task.image


def _require_sidecar(
    parts: tuple[TaskRead, ...], tasks: list[_Task], rendered: Rendered, text: str, file: Path
) -> None:
    misplaced = [p for p in parts if p.part == "sidecar, misplaced"]
    if misplaced and not any(p.part == "sidecar" for p in parts):
        name = misplaced[0].name
        raise UsageError(
            f"{file}:{source.line_of_task(text, name)}: task {name} runs tailscaled, but is no sidecar: "
            "the other tasks start before it, and outlive it",
            remedy='give it lifecycle { hook = "prestart", sidecar = true }',
        )
    if any(p.part == "sidecar" for p in parts):
        return
    line = source.line_of(text, r'^\s*group\s+"', r"^job ")
    names = ", ".join(f"{t.name} ({t.image or 'no image'})" for t in tasks) or "no task"
    raise UsageError(
        f"{file}:{line}: job {rendered.id} has no sidecar: no task of it runs tailscaled, "
        "so nothing of it is in a tailnet",
        log=f"its tasks: {names}",
        remedy="paste the sidecar from modules/nomad, or start from an example (README.md, Your own jobs)",
    )


def _health(rendered: Rendered, tasks: list[_Task]) -> dict[str, str]:
    """The path by which the job itself asks after the health of a backend, by the backend's port."""
    found: dict[str, str] = {}
    for task in tasks:
        for url in task.environment.get("BACKENDS", "").split(","):
            if asked := re.match(r"\s*http://127\.0\.0\.1:(\$\{NOMAD_PORT_\w+\}|\d+)(/\S*)", url):
                found[asked[1]] = asked[2]
    for service in _services(rendered):
        for check in service.get("Checks") or ():
            label = check.get("PortLabel") or service.get("PortLabel")
            if check.get("Type") == "http" and label and check.get("Path"):
                found.setdefault(f"${{NOMAD_PORT_{label}}}", str(check["Path"]))
    return found


def _services(rendered: Rendered) -> Iterator[Mapping[str, Any]]:
    for group in rendered.job.get("TaskGroups") or ():
        for block in (group, *(group.get("Tasks") or ())):
            yield from block.get("Services") or ()


def variables_wanted(rendered: Rendered) -> dict[str, str]:
    """The Nomad Variables that templates cannot do without: the path of each, and the task that reads it."""
    wanted: dict[str, str] = {}
    for task in _tasks(rendered):
        for template in task.texts.values():
            for path in _VARIABLE_READ.findall(template):
                if not re.search(rf'nomadVar(Exists|List)[^}}]*"{re.escape(path)}"', template):
                    wanted.setdefault(path, task.name)
    return wanted


def check_variables(example: Example, rendered: Rendered) -> None:
    """Refuse a job that would wait for ever for a Variable of which its smoke.toml says nothing.

    Raises:
        UsageError: names the file, the line, the task and the Variable.
    """
    text = example.job_file.read_text(encoding="utf-8")
    for path, task in variables_wanted(rendered).items():
        if path not in (rendered.auth_key.variable, *rendered.variables):
            line = source.line_of(text, rf'"{re.escape(path)}"', r"\bnomadVar\b")
            raise UsageError(
                f"{example.job_file}:{line}: task {task} reads the Nomad Variable {path}, "
                f"of which {example.smoke_file} says nothing",
                remedy=f'is it the auth key? [auth_key] variable = "{path}". '
                f'Something else? [variables."{path}"] with its items',
            )


def _tasks(rendered: Rendered) -> list[_Task]:
    return [
        _Task(str(group["Name"]), task)
        for group in rendered.job.get("TaskGroups") or ()
        for task in group.get("Tasks") or ()
    ]


def _variables_read(tasks: list[_Task]) -> tuple[AuthKeyPlace, dict[str, tuple[str, ...]]]:
    """Where the auth key is read, and what else is: of what a template takes out of Nomad Variables."""
    found: dict[str, list[str]] = {}
    for task in tasks:
        for template in task.texts.values():
            path = ""
            for action in _ACTION.findall(template):
                if opened := _VARIABLE_READ.search(action):
                    path = opened[1]
                    action = action[opened.end() :]  # noqa: PLW2901 - the rest of it is read like any other
                if path and not action.strip().startswith(("end", "else")):
                    items = [i for i in _ITEM.findall(action) if i != "Value"]
                    found.setdefault(path, []).extend(items)
    keys = [
        (path, item)
        for path, items in found.items()
        for item in items
        if re.search(r"AUTH_?KEY", item, re.IGNORECASE)
    ]
    place = AuthKeyPlace(*keys[0]) if keys else EXAMPLES_KEY
    others = {
        path: tuple(dict.fromkeys(i for i in items if (path, i) != (place.variable, place.item)))
        for path, items in found.items()
    }
    return place, {path: items for path, items in others.items() if items}
