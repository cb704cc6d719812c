"""A smoke.toml for a job that has none: what was read, and, said beside it, what was assumed. Pure."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.job.example import EXAMPLES_KEY, ServePromise
from harness.job.reading import Reading

_WIDTH = 96  # columns of a comment
_TAGS = {"egress": "tag:nomad-worker", "serve": "tag:nomad-service"}
"""What acl/example-tailscale-acl.json lets out, and lets be reached."""


@dataclass(frozen=True)
class Assumed:
    """Something that could not be known from the job."""

    line: int
    """Of the proposal."""
    what: str


@dataclass(frozen=True)
class Proposal:
    """The text of a smoke.toml, and which lines of it rest on something that was assumed."""

    text: str
    assumed: tuple[Assumed, ...]


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.assumed: list[Assumed] = []

    def say(self, *lines: str) -> None:
        self.lines += lines

    def put(self, key: str, value: object, why: str = "", *, assumed: str = "") -> None:
        if assumed:
            self.say(*(f"# {line}" for line in textwrap.wrap(f"assumed: {assumed}", _WIDTH)))
        self.say(f"{key} = {_toml(value)}" + (f"  # {why}" if why else ""))
        if assumed:
            self.assumed.append(Assumed(len(self.lines), assumed))


def _toml(value: object) -> str:
    # JSON's texts, numbers and lists are TOML's as well (TOML 1.0, strings), but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def propose(
    reading: Reading,
    *,
    job_file: str,
    via: Sequence[str],
    fallback: Sequence[str],
    variables: Mapping[str, str],
    var_files: Sequence[str],
    tags: Sequence[str],
    lab_names: Sequence[str],
) -> Proposal:
    """Write down what a job seems to promise.

    Args:
        reading: what it was taken for.
        job_file: its file's name.
        via: the exits that it leaves by in the lab.
        fallback: those that it may fall back to there.
        variables: what its variables are set to, with placeholders.
        var_files: the files of variables that it is rendered with.
        tags: those that the lab's policy knows.
        lab_names: the public names that the lab's internet has.
    """
    out = _Writer()
    out.say(
        f"# What {job_file} promises, as `notailcar test` read it. Each line is yours to correct.",
        "",
    )
    parts = reading.of("sidecar"), (reading.of("guard") if reading.kind == "egress" else reading.of("serve"))
    does = "leaves by an exit node" if reading.kind == "egress" else "is served to the tailnet"
    out.put("kind", reading.kind, f"{', '.join((*parts[0], *parts[1]))}: it {does}")
    if var_files:
        out.put(
            "var_files",
            list(var_files),
            assumed="the first file of variables beside the job is the one to run it with",
        )
    _tags(out, reading, tags)
    if reading.kind == "egress":
        _egress(out, reading, via, fallback, lab_names)
    for number, promise in enumerate(reading.serve):
        _serve(out, reading, promise, first=number == 0)
    _secrets(out, reading)
    if variables:
        out.say("", "[vars]  # the lab fills what stands in braces")
        for name, value in variables.items():
            out.put(name, value)
    return Proposal("\n".join(out.lines) + "\n", tuple(out.assumed))


def _tags(out: _Writer, reading: Reading, known: Sequence[str]) -> None:
    if not reading.tags:
        tag = _TAGS[reading.kind]
        out.put(
            "tags", [tag], assumed=f"the job names no tag; {tag} is what the lab's policy has for its kind"
        )
    elif reading.tags[0] not in known:
        tag = _TAGS[reading.kind]
        out.put(
            "tags",
            [tag],
            assumed=f"the lab's policy does not know {reading.tags[0]}, which the job names; "
            "give the lab your policy by --topology, then write your tag here",
        )
    else:
        out.put("tags", list(reading.tags[:1]), "what its auth key carries")


def _egress(
    out: _Writer, reading: Reading, via: Sequence[str], fallback: Sequence[str], lab_names: Sequence[str]
) -> None:
    out.say("", "[egress]")
    other = [e for e in reading.exits if e not in via]
    told = (
        f"{', '.join(other)} of the job is {', '.join(via)} in the lab; no other exit is allowed"
        if other
        else "the exits that the job names are allowed, and no other"
    )
    out.put("via", list(via), assumed=told)
    if fallback:
        out.put("fallback", list(fallback), "in this order")
    if reading.confined:
        out.put("confined", True, "its workers have no network of their own")
    unknown = [name for name in reading.asks if name not in lab_names]
    if unknown:
        out.put(
            "names",
            unknown,
            assumed="its workers speak to these names; in the lab they lead to the echo service, which "
            "answers with the caller's address",
        )


def _serve(out: _Writer, reading: Reading, promise: ServePromise, *, first: bool) -> None:
    out.say("", "[[serve]]")
    if promise.service:
        out.put("service", promise.service)
    if promise.tcp:
        out.put(
            "tcp",
            promise.tcp,
            assumed="somebody takes the connection; what is answered is not known: "
            'add send = "..." and contains = "..."',
        )
        return
    out.put("url", promise.url, "the path of its own health check" if first and reading.by_health else "")
    out.put(
        "status", 200, assumed='it answers with 200; what the page holds is not known: add contains = "..."'
    )


def _secrets(out: _Writer, reading: Reading) -> None:
    if reading.auth_key != EXAMPLES_KEY:
        out.say("", "[auth_key]  # where the job reads its auth key; the lab puts one there")
        out.put("variable", reading.auth_key.variable)
        out.put("item", reading.auth_key.item)
    for path, items in reading.variables.items():
        out.say("", f"[variables.{_toml(path)}]  # what else it reads there")
        for item in items:
            out.put(item, "made up", assumed="any text will do in the place of the real one")
