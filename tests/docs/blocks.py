"""The commands of a document: its fenced `sh` blocks, each with a comment: where it runs, or why not.

<!-- run: node -->            before a block: it is run there by a test
<!-- not run: REASON -->      before a block: it is not, for this reason
<!-- printed -->              before a `text` block that follows: its lines are printed, `...` for anything
<!-- file: PATH -->           before a block of any kind: in a fresh folder, it is this file
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE, REPORTS, FRESH = "here", "reports", "fresh"
NODE, ACL, NETWORK = "node", "acl", "node-network"
ON_THIS_MACHINE = (HERE, REPORTS, FRESH)
PLACES = (*ON_THIS_MACHINE, NODE, ACL, NETWORK, "control", "exit-a", "client")
"""This machine: at the repository's root, or far from it; the lab's node, without and with ACLs; others."""
_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_COMMENT = re.compile(r"^ *<!-- (run|not run|printed|file)(?:: (.+?))? -->$")


@dataclass(frozen=True)
class Block:
    """One block of commands."""

    file: Path
    line: int
    script: str
    place: str = ""
    """Where it is run; empty for one that is not."""
    reason: str = ""
    """Why it is not run."""
    printed: tuple[str, ...] = ()
    """Lines that it prints, in this order."""

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}"


@dataclass(frozen=True)
class _Fenced:
    line: int
    kind: str
    text: str
    comment: tuple[str, str] | None
    """What stands on the last line before it that is not blank, when that is one of our comments."""


def _fenced(text: str) -> Iterator[_Fenced]:
    said: tuple[str, str] | None = None
    lines = iter(enumerate(text.split("\n"), 1))
    for number, line in lines:
        if begin := _FENCE.match(line):
            indent, kind = begin.groups()
            inside = []
            for _, content in lines:
                if content.strip() == "```":
                    break
                inside.append(content.removeprefix(indent))
            yield _Fenced(number, kind, "\n".join(inside), said)
            said = None
        elif comment := _COMMENT.match(line):
            said = (comment[1], comment[2] or "")
        elif line.strip():
            said = None


def blocks(file: Path, text: str | None = None) -> list[Block]:
    """Give a document's blocks of commands, in order.

    Raises:
        ValueError: a block has neither comment, or one that says nothing.
    """
    found: list[Block] = []
    for fenced in _fenced(file.read_text(encoding="utf-8") if text is None else text):
        what, said = fenced.comment or ("", "")
        where = f"{file.name}:{fenced.line}"
        if fenced.kind == "sh":
            if what == "run" and said in PLACES:
                found.append(Block(file, fenced.line, fenced.text, place=said))
            elif what == "not run" and said:
                found.append(Block(file, fenced.line, fenced.text, reason=said))
            else:
                raise ValueError(f"{where}: a test must run it, or a comment say why not")
        elif fenced.kind in {"", "bash", "shell", "console"}:
            raise ValueError(f"{where}: commands are `sh`, what they print is `text`")
        elif what == "printed":
            if not found or not found[-1].place or found[-1].printed:
                raise ValueError(f"{where}: no command that is run prints this")
            last = found.pop()
            lines = tuple(line.strip() for line in fenced.text.split("\n") if line.strip())
            found.append(Block(file, last.line, last.script, last.place, printed=lines))
    return found


def files(file: Path) -> list[tuple[int, str, str]]:
    """The files that a document gives: the line, the path and the text of each."""
    return [
        (fenced.line, fenced.comment[1], f"{fenced.text}\n")
        for fenced in _fenced(file.read_text(encoding="utf-8"))
        if fenced.comment and fenced.comment[0] == "file"
    ]


def missing(printed: tuple[str, ...], output: str) -> str:
    """Give the first line that was not printed after the one before it; empty where all were."""
    left = [" ".join(line.split()) for line in output.splitlines()]
    for line in printed:
        pattern = re.compile(".*".join(re.escape(" ".join(p.split())) for p in line.split("...")))
        while left and not pattern.search(left[0]):
            left.pop(0)
        if not left:
            return line
        left.pop(0)
    return ""
