"""The patterns that faults befall side by side: four examples, and one as it was before its gate."""

from pathlib import Path

from tests.mutants import mutant
from tests.robustness.commands import REPOSITORY
from tests.robustness.copies import copy

TIGHT = ("egress-worker", "sealed-egress-worker", "private-http-service", "sealed-private-service")
"""The examples of the gate and of the sealed allocation, for either kind."""
(PLAIN,) = mutant.read(Path(__file__).with_name("plain.toml"))


def lay_out(root: Path) -> Path:
    """Copy all of them below a folder, in the order of the documents' table; give the folder of examples."""
    copy(root, PLAIN.name, *PLAIN.edit, of=REPOSITORY / "examples" / PLAIN.of)
    for name in TIGHT:
        copy(root, name, of=REPOSITORY / "examples" / name)
    return root / "examples"
