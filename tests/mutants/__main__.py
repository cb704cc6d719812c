"""Write README.md anew."""

from tests.mutants.listing import readme
from tests.mutants.mutant import FOLDER

(FOLDER / "README.md").write_text(readme(), encoding="utf-8")
