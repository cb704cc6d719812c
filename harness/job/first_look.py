"""Looks at a job that has no smoke.toml: renders it for the lab, reads it, proposes what it promises."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UsageError
from harness.job import proposal, source
from harness.job.example import JOB_SUFFIX, EgressPromise, Example, Smoke
from harness.job.placement import obstacles
from harness.job.proposal import Proposal
from harness.job.reading import Reading, read
from harness.job.rendering import Rendered
from harness.job.source import Variable

_WELL_KNOWN: Mapping[str, tuple[str, ...]] = {
    "{login_server}": (
        *("login_server", "ts_login_server", "tailscale_login_server", "tailnet_login_server"),
        *("headscale_url", "control_server", "control_url"),
    ),
    "{check_url}": ("check_url", "egress_check_url"),
    "{tailnet_domain}": ("tailnet_domain",),
}
"""Variables that are the same in many jobs, by the placeholder that they are set to in the lab."""
_EXPECTED = ("expected_egress", "expected_egress_ips", "expected_ip")
_EXITS = ("exit_node", "ts_exit_node", "tailscale_exit_node", "exit")
_ASSIGNED = re.compile(r"^[ \t]*([A-Za-z_][\w-]*)[ \t]*=", re.MULTILINE)


@dataclass(frozen=True)
class Surroundings:
    """What there is in the lab for a job to meet."""

    values: Mapping[str, str]
    """What placeholders stand for."""
    exits: tuple[str, ...]
    tags: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class FirstLook:
    """What a job was taken for, and the example that it becomes with what is proposed."""

    reading: Reading
    proposal: Proposal
    example: Example


def first_look(
    job_file: Path,
    around: Surroundings,
    render: Callable[[Example], Rendered],
    given: Mapping[str, str] = {},
) -> FirstLook:
    """Look at one job.

    Args:
        job_file: the job.
        around: the lab that it would run in.
        render: renders an example.
        given: variables that the person has set.

    Raises:
        UsageError: it cannot be read, or is no job with a sidecar; names file and line.
    """
    try:
        text = job_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{job_file}: cannot be read: {error}") from error
    return _Look(job_file.absolute(), text, around, render, given).run()


class _Look:
    def __init__(
        self,
        job_file: Path,
        text: str,
        around: Surroundings,
        render: Callable[[Example], Rendered],
        given: Mapping[str, str],
    ) -> None:
        self._file = job_file
        self._text = text
        self._around = around
        self._render = render
        self._declared = source.variables(text)
        self._var_files = self._found_var_files()
        self._vars = {**self._known(), **given}
        unknown = [name for name in given if name not in self._declared]
        if unknown:
            raise UsageError(
                f"{job_file}: declares no variable {', '.join(unknown)}",
                remedy=f"it declares {', '.join(self._declared) or 'none'}",
            )

    def run(self) -> FirstLook:
        self._require_values()
        self._make_room()
        reading = self._read()
        self._lead_to_the_lab(reading)
        via, fallback = self._exits(reading)
        for name in self._declared_of(_EXPECTED):
            self._vars.setdefault(name, ",".join(f"{{egress:{e}}}" for e in (*via, *fallback)))
        reading = self._read()
        self._refuse_another_login(reading)
        for strange in reading.exits:
            if strange not in self._around.exits:
                raise self._no_such_exit(strange)
        proposed = proposal.propose(
            reading,
            job_file=self._file.name,
            via=via,
            fallback=fallback,
            variables=self._vars,
            var_files=self._var_files,
            tags=self._around.tags,
            lab_names=self._around.names,
        )
        return FirstLook(reading, proposed, self._example())

    def _example(self) -> Example:
        name = self._file.name.removesuffix(JOB_SUFFIX)
        # Enough to render it by: what it promises is not known yet.
        smoke = Smoke("egress", (), tuple(self._var_files), self._vars, EgressPromise(("",)))
        return Example(name, self._file.parent, self._file, smoke)

    def _read(self) -> Reading:
        return read(self._render(self._example()), self._text, self._file)

    def _found_var_files(self) -> list[str]:
        """The first of vars/*.hcl beside the job that sets variables of it, and no others."""
        folder = self._file.parent
        for file in sorted(folder.glob("vars/*.hcl")):
            names = _ASSIGNED.findall(file.read_text(encoding="utf-8"))
            if names and all(name in self._declared for name in names):
                return [str(file.relative_to(folder))]
        return []

    def _known(self) -> dict[str, str]:
        known = {n: value for value, names in _WELL_KNOWN.items() for n in self._declared_of(names)}
        assigned = self._assigned()
        for name in self._declared_of(_EXITS):
            if self._declared[name].default in (None, "") and name not in assigned:
                known[name] = self._around.exits[0]
        return known

    def _assigned(self) -> dict[str, str]:
        """What the files of variables set, where that is plain text."""
        found = {}
        for name in self._var_files:
            text = (self._file.parent / name).read_text(encoding="utf-8")
            for match in re.finditer(
                r'^[ \t]*([A-Za-z_][\w-]*)[ \t]*=[ \t]*("?)([^"\n]*)', text, re.MULTILINE
            ):
                found[match[1]] = match[3]
        return found

    def _declared_of(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in self._declared]

    def _require_values(self) -> None:
        assigned = self._assigned()
        lacking: list[Variable] = [
            v for v in self._declared.values() if v.default is None and v.name not in {*assigned, *self._vars}
        ]
        if lacking:
            first = lacking[0]
            names = " ".join(f"--var {v.name}=VALUE" for v in lacking)
            raise UsageError(
                f"{self._file}:{first.line}: variable {first.name} has no default, and is not set",
                remedy=f"give it a value: notailcar test {names} {self._file.name}",
            )

    def _make_room(self) -> None:
        """Have the job placed on the lab's one node, by its variables. Raises UsageError where none helps."""
        for found in obstacles(self._render(self._example()), self._text):
            if found.asked and (name := self._variable_of(found.asked)):
                self._vars.setdefault(name, found.instead)
                continue
            raise UsageError(
                f"{self._file}:{found.line}: it asks for {found.what}, which the lab's node does not have",
                remedy=found.remedy or f"make it a variable: the lab sets it to {found.instead}",
            )

    def _variable_of(self, value: str) -> str:
        """The variable that a value comes from, as far as that shows."""
        assigned = self._assigned()
        for name, variable in self._declared.items():
            if assigned.get(name, variable.default) == value:
                return name
        return ""

    def _lead_to_the_lab(self, reading: Reading) -> None:
        if reading.login_server != self._around.values["login_server"] and (
            name := self._variable_of(reading.login_server)
        ):
            self._vars.setdefault(name, "{login_server}")

    def _refuse_another_login(self, reading: Reading) -> None:
        if reading.login_server == self._around.values["login_server"]:
            return
        line = source.line_of(
            self._text, re.escape(reading.login_server), r"tailscale\b.*\bup\b", r'task\s+"tailscale'
        )
        raise UsageError(
            f"{self._file}:{line}: the job logs in at {reading.login_server}, which is out of a lab's reach",
            remedy='make it a variable, such as variable "login_server" with that default: '
            "the lab sets it to its own control server",
        )

    def _no_such_exit(self, name: str) -> UsageError:
        line = source.line_of(self._text, re.escape(name))
        return UsageError(
            f"{self._file}:{line}: the job leaves by the exit node {name}, which the lab does not have; "
            f"it has {', '.join(self._around.exits)}",
            remedy="make it a variable, or give the lab an exit node of that name: --topology FILE",
        )

    def _exits(self, reading: Reading) -> tuple[list[str], list[str]]:
        """The lab's exits that stand for the job's own: those of the same name, else others by a variable."""
        via, free = [], [e for e in self._around.exits if e not in (*reading.exits, *reading.fallback)]
        fallback = [e for e in reading.fallback if e in self._around.exits]
        for exit_node in reading.exits:
            if exit_node in self._around.exits:
                via.append(exit_node)
                continue
            name = self._variable_of(exit_node)
            if not name or not free:
                raise self._no_such_exit(exit_node)
            via.append(free.pop(0))
            self._vars[name] = via[-1]
        strange = [e for e in reading.fallback if e not in self._around.exits]
        if strange and (name := self._variable_of(",".join(reading.fallback))):
            fallback = free[:1]
            self._vars[name] = ",".join(fallback)
        return via, fallback


def with_smoke(look: FirstLook, smoke: Smoke) -> Example:
    """The example with the promises that were proposed."""
    return replace(look.example, smoke=smoke)
