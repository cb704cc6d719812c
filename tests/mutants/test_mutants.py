"""Every mutant is refuted, on the claims that it is a mutant of and on no other; its original is not."""

from pathlib import Path

import pytest

from harness.claims.catalogue import CLAIMS, Claim
from harness.job import example
from harness.job.example import Example
from harness.ledger.episodes import CONTROL
from tests.mutants.listing import readme
from tests.mutants.mutant import FILES, FOLDER, MUTANTS, Mutant
from tests.robustness.commands import REPOSITORY, Command
from tests.robustness.copies import copy
from tests.robustness.proof import claims

BY_ID = {claim.id: claim for claim in CLAIMS}
ORIGINALS = sorted({mutant.of for mutant in MUTANTS.values()})
_SECONDS = 900


def judged_of(refutes: frozenset[str], of: Example) -> list[Claim]:
    """The claims of a mutant that are judged: those named, and whatever costs no further execution."""
    episodes = frozenset({CONTROL}).union(*(BY_ID[claim].episodes for claim in refutes))
    return [claim for claim in CLAIMS if claim.episodes <= episodes and not claim.absence(of.smoke)]


def scenario(claim: Claim, name: str) -> str:
    """The id of the scenario of a claim, for an example."""
    family = claim.id.partition(".")[0]
    return f"scenarios/test_{family}.py::test_{claim.id.replace('.', '_')}[{name}]"


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """One run over all of them, side by side with what they are edits of."""
    root = tmp_path_factory.mktemp("mutants")
    for name in ORIGINALS:
        copy(root, name, of=REPOSITORY / "examples" / name)
    for name, mutant in MUTANTS.items():
        copy(root, name, *mutant.edit, of=REPOSITORY / "examples" / mutant.of)
    wanted = {name: frozenset(mutant.refutes) for name, mutant in MUTANTS.items()} | {
        name: frozenset[str]().union(*(m.refutes for m in MUTANTS.values() if m.of == name))
        for name in ORIGINALS
    }
    found = {e.name: e for e in example.find(root / "examples")}
    scenarios = [
        scenario(claim, name) for name, refutes in wanted.items() for claim in judged_of(refutes, found[name])
    ]
    argv = ("pytest", *scenarios, "-p", "no:cacheprovider", "-n", "2")
    with Command(root / "run", [*argv, "--examples", str(root / "examples")]) as run:
        run.wait(_SECONDS)
        return run


def test_there_are_mutants_of_every_claim() -> None:
    # That one is of the key, and refuted in test_keys.py.
    assert {claim for mutant in MUTANTS.values() for claim in mutant.refutes} == set(BY_ID) - {
        "identity.tagged"
    }


def test_the_readme_lists_them_all() -> None:
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == readme()


def test_no_two_have_one_name() -> None:
    assert sum(map(len, FILES.values())) == len(MUTANTS)
    assert not set(MUTANTS) & set(ORIGINALS)


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_its_edits_can_be_made(mutant: Mutant, tmp_path: Path) -> None:
    copy(tmp_path, mutant.name, *mutant.edit, of=REPOSITORY / "examples" / mutant.of)
    assert set(mutant.refutes) <= set(BY_ID)


@pytest.mark.lab
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_it_is_refuted_and_by_nothing_else(judged: Command, mutant: Mutant) -> None:
    found = {claim: e for (subject, claim), e in claims(judged).items() if subject == mutant.name}
    refuted = {claim for claim, entry in found.items() if entry["verdict"] == "refuted"}
    shown = {claim: (entry["verdict"], entry["reason"]) for claim, entry in found.items()}
    assert refuted - set(mutant.besides) == set(mutant.refutes), shown
    assert any(mutant.said in found[claim]["reason"] for claim in mutant.refutes), shown
    for claim in mutant.refutes:
        assert any(o["role"] == "evidence" for o in found[claim]["evidence"])


@pytest.mark.lab
@pytest.mark.parametrize("name", ORIGINALS)
def test_what_they_are_edits_of_is_proven_beside_them(judged: Command, name: str) -> None:
    found = {claim: e for (subject, claim), e in claims(judged).items() if subject == name}
    assert found
    assert {e["verdict"] for e in found.values()} == {"proven"}, judged.output


@pytest.mark.lab
def test_the_run_fails(judged: Command) -> None:
    assert judged.exit_code == 1, judged.output
