"""What an image is addressed by: everything that it is made from, and nothing else."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.supply.catalogue import ALL, PROGRAMS, Catalogue, Recipe
from harness.supply.pins import load_pins
from tests.supply.test_pins import change

CA = b"a certificate"


def references(recipe: Recipe = Recipe.SOURCE, ca: bytes = CA, mirror: str = "") -> dict[str, str]:
    catalogue = Catalogue(recipe, load_pins(), ca, mirror)
    return {
        name: catalogue.plan(name).reference
        for name in (*ALL, "debian", "base", "nomad", "tailscale", "guard")
    }


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_the_same_inputs_give_the_same_names() -> None:
    assert references() == references()


def test_no_image_has_an_official_name() -> None:
    assert all(reference.startswith("notailcar/") for reference in references().values())


def test_another_ca_changes_what_trusts_it() -> None:
    assert changed(references(), references(ca=b"another")) == {
        "base", "router", "host", "control", "second-control", "acme", "member", "browser", "node",
        "example-tailscale", "example-python", "example-redis", "example-guard",
    }  # fmt: skip


def test_another_recipe_changes_everything() -> None:
    before = references()
    assert changed(before, references(Recipe.REGISTRY)) == set(before)


def test_a_mirror_matters_only_to_what_is_pulled_from_it() -> None:
    assert references() == references(mirror="mirror:5000/x")
    assert references(Recipe.REGISTRY) != references(Recipe.REGISTRY, mirror="mirror:5000/x")


def test_a_changed_dockerfile_changes_its_image_and_no_other(spoilt: Path) -> None:
    before = references()
    change(spoilt / "images" / "node" / "Dockerfile", "docker.io", "docker.io tini")
    assert changed(before, references()) == {"node"}


def test_a_changed_module_changes_what_holds_its_program(spoilt: Path) -> None:
    before = references()
    with (spoilt / "go" / "tailscale" / "go.sum").open("a") as stream:
        stream.write("\n")
    assert changed(before, references()) == {
        "tailscale", "member", "browser", "example-tailscale", "guard", "example-guard",
    }  # fmt: skip


def test_the_guards_image_is_its_dockerfile_and_named_as_its_tailscale(spoilt: Path) -> None:
    before = references()
    folder = spoilt.parent / "docker" / "guard-image"
    change(folder / "README.md", "# ", "# Another word on ")
    assert not changed(before, references())
    change(folder / "Dockerfile", "curl ", "curl  ")
    assert changed(before, references()) == {"guard", "example-guard"}
    catalogue = Catalogue(Recipe.SOURCE, load_pins(), CA, "")
    tag = catalogue.official("tailscale").rpartition(":")[2]
    assert catalogue.official("guard") == catalogue.official("example-guard") == f"notailcar/guard:{tag}"


def test_a_file_that_may_be_run_differs_from_one_that_may_not(spoilt: Path) -> None:
    before = references()
    (spoilt / "images" / "base" / "when-wired").chmod(0o644)
    assert "base" in changed(before, references())


def test_an_unknown_image_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no image nobody") as failure:
        Catalogue(Recipe.SOURCE, load_pins(), CA, "").plan("nobody")
    assert "example-python" in failure.value.remedy


def test_a_program_of_ours_is_compiled_by_golangs_image_where_there_is_a_registry() -> None:
    catalogue = Catalogue(Recipe.REGISTRY, load_pins(), CA, "")
    for name in PROGRAMS:
        plan = catalogue.plan(name)
        assert plan.bases == {"GOLANG": "golang"}
        assert {"Dockerfile", "main.go", "go.mod", "go.sum"} <= set(plan.context)
    assert catalogue.plan("golang").official == load_pins().golang.image
    built = Catalogue(Recipe.SOURCE, load_pins(), CA, "")
    assert not built.plan("pebble").bases
    with pytest.raises(UsageError, match="there is no image golang"):
        built.plan("golang")


def test_a_changed_program_of_ours_changes_what_holds_it(spoilt: Path) -> None:
    before = references()
    change(spoilt / "go" / "labcontrol" / "main.go", "package main", "package main // again")
    assert changed(before, references()) == {"second-control"}
