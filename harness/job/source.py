"""The text of a job file, as far as it takes to name a line of it, and the variables it declares. Pure.

Nomad itself reads jobs (rendering.py). What is lost there is where something stood, and which variables have
no default: that is looked up here, by the shape that `nomad fmt` gives a file.
"""

import re
from dataclasses import dataclass

_VARIABLE = re.compile(r'^[ \t]*variable[ \t]+"([^"]+)"[ \t]*\{', re.MULTILINE)
_DEFAULT = re.compile(r"^[ \t]*default[ \t]*=[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_NEXT_BLOCK = re.compile(r"^(?:[ \t]*(?:variable|locals|job)\b.*)$", re.MULTILINE)
_TEXT = re.compile(r'"([^"]*)"')


@dataclass(frozen=True)
class Variable:
    """`variable "name" { ... }` of a job file."""

    name: str
    line: int
    default: str | None
    """Its default, where that is plain text; empty for another kind of value; None where it has none."""


def variables(text: str) -> dict[str, Variable]:
    """The variables that a job file declares, by name."""
    found = {}
    for match in _VARIABLE.finditer(text):
        end = _NEXT_BLOCK.search(text, match.end())
        body = text[match.end() : end.start() if end else len(text)]
        line = text.count("\n", 0, match.start()) + 1
        default = _DEFAULT.search(body)
        if default is None:
            value = None
        else:
            plain = _TEXT.match(default[1])
            value = plain[1] if plain else ""
        found[match[1]] = Variable(match[1], line, value)
    return found


def line_of(text: str, *patterns: str) -> int:
    """The number of the first line that one of these patterns is found in, tried in turn; else 1."""
    lines = text.splitlines()
    for pattern in patterns:
        for number, line in enumerate(lines, start=1):
            if not line.lstrip().startswith(("#", "//")) and re.search(pattern, line):
                return number
    return 1


def line_of_task(text: str, task: str) -> int:
    """The line on which a task begins; 1 where it is made by something that is not written out."""
    return line_of(text, rf'\btask[ \t]+"{re.escape(task)}"')


def line_of_image(text: str, task: str, image: str) -> int:
    """The line that gives a task its image: the image itself, wherever written, else the task's `image =`."""
    literal = line_of(text, rf'"{re.escape(image)}"')
    if literal > 1:
        return literal
    begin = line_of_task(text, task)
    # One that is not written out, as of a dynamic block, has no line of its own.
    body = text.splitlines()[begin - 1 :] if begin > 1 else []
    for number, line in enumerate(body, start=begin):
        if re.match(r"\s*image\s*=", line):
            return number
    return begin
