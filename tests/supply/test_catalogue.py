"""What an image is addressed by: everything that it is made from, and nothing else."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.supply.catalogue import ALL, PROGRAMS, Catalogue, Recipe, official_images
from harness.supply.pins import load_pins
from harness.supply.source import go_build
from tests.supply.test_pins import change

CA = b"a certificate"


def references(
    recipe: Recipe = Recipe.SOURCE, ca: bytes = CA, mirror: str = "", versions: dict[str, str] | None = None
) -> dict[str, str]:
    catalogue = Catalogue(recipe, load_pins(versions), ca, mirror)
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


@pytest.mark.parametrize("recipe", list(Recipe))
@pytest.mark.parametrize(
    ("program", "images"),
    [
        ("nomad", {"nomad", "node"}),
        ("tailscale", {"tailscale", "member", "browser", "example-tailscale", "guard", "example-guard"}),
        ("headscale", {"control"}),
    ],
)
def test_another_version_of_a_program_changes_what_holds_it(
    recipe: Recipe, program: str, images: set[str]
) -> None:
    # That they share no image is what the sweep goes by.
    for name, pin in load_pins().further:
        if name == program:
            versions = {name: pin.version}
            assert changed(references(recipe), references(recipe, versions=versions)) == images


def test_images_are_offered_by_the_official_names_of_the_chosen_version() -> None:
    usual, chosen = load_pins(), load_pins({"tailscale": "1.98.9"})
    assert official_images(usual)["example-tailscale"] == "tailscale/tailscale:v1.102.3"
    assert official_images(chosen)["example-tailscale"] == "tailscale/tailscale:v1.98.9"
    assert official_images(chosen)["example-guard"] == "notailcar/guard:v1.98.9"
    assert official_images(chosen)["example-python"] == official_images(usual)["example-python"]


def test_a_build_with_a_c_compiler_is_linked_with_nothing_but_itself() -> None:
    usual, chosen = load_pins().go["nomad"], load_pins({"nomad": "1.10.5"}).go["nomad"]
    assert "-static" not in " ".join(go_build(usual, Path("out")))
    assert "-tags" not in go_build(usual, Path("out"))
    assert "-linkmode external -extldflags -static" in " ".join(go_build(chosen, Path("out")))
    assert "netgo,osusergo" in go_build(chosen, Path("out"))


def test_a_changed_program_of_ours_changes_what_holds_it(spoilt: Path) -> None:
    before = references()
    change(spoilt / "go" / "labcontrol" / "main.go", "package main", "package main // again")
    assert changed(before, references()) == {"second-control"}
