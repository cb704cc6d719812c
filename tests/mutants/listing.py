"""The list of mutants for people: `python -m tests.mutants` writes it to README.md, beside this file."""

from tests.mutants.mutant import FILES

_HEAD = """\
<!-- Written by `python -m tests.mutants` from the files beside it. -->
# Mutants: what the harness must catch

Known-bad variants of the examples, each a few edits in one of the files here. In one run, in real labs, each
must be refuted on the claims named, by a reason that says what is wrong, and by no other claim that is judged
of it; the examples as they stand, judged beside them, must be proven.

    .venv/bin/pytest tests/mutants
"""


def readme() -> str:
    """The whole of README.md."""
    parts = [_HEAD]
    for name, mutants in FILES.items():
        parts.append(
            f"\n## {name.capitalize()}\n\n| mutant | of | what is wrong | refuted |\n|---|---|---|---|\n"
        )
        parts += [f"| `{m.name}` | {m.of} | {m.what} | {', '.join(m.refutes)} |\n" for m in mutants]
    return "".join(parts)
