"""The pins: one file, strict, and of one mind with the Go modules."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.supply.pins import MOVABLE, load_pins, read_versions


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_pins_of_this_checkout_are_of_one_mind() -> None:
    pins = load_pins()
    assert set(pins.go) == {"nomad", "tailscale", "headscale", "labcontrol", "pebble", "consul"}
    published = [pin for pin in pins.go.values() if pin.image]
    assert all(pin.image.removeprefix("v").endswith(pin.version) for pin in published)
    assert {name for name, _ in pins.further} == set(MOVABLE)
    for name, pin in pins.further:
        assert pin.image.endswith(pin.version)
        assert pin.image.rpartition(":")[0] == pins.go[name].image.rpartition(":")[0]
        assert not any(pins.go[name].version in flag for flag in pin.ldflags)


def test_a_version_that_is_chosen_takes_the_place_of_its_default_alone() -> None:
    usual = load_pins()
    for name, pin in usual.further:
        chosen = load_pins({name: pin.version})
        assert chosen.go[name] == pin
        assert not chosen.is_default(name)
        assert {other for other in usual.go if chosen.go[other] != usual.go[other]} == {name}
        assert chosen.module_folder(name).name == f"{name}-{pin.version}"
        assert usual.module_folder(name).name == name
    assert load_pins({"nomad": usual.go["nomad"].version}) == usual


def test_a_version_that_is_not_pinned_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError) as failure:
        load_pins({"nomad": "0.12.0"})
    assert failure.value.problem == "nomad 0.12.0 is not pinned"
    assert f"{load_pins().go['nomad'].version} (the default), " in failure.value.remedy


@pytest.mark.parametrize("name", ["consul", "vault", ""])
def test_a_program_without_a_choice_is_told_with_those_that_have_one(name: str) -> None:
    with pytest.raises(UsageError, match=f"no choice of versions for '{name}'") as failure:
        load_pins({name: "1.0.0"})
    assert ", ".join(MOVABLE) in failure.value.remedy


def test_versions_are_read_as_a_person_writes_them() -> None:
    assert read_versions("", "here") == {}
    assert read_versions("nomad=1.10.5, tailscale=v1.98.9,", "here") == {
        "nomad": "1.10.5",
        "tailscale": "1.98.9",
    }


@pytest.mark.parametrize("text", ["nomad", "nomad=", "=1", "nomad=1,nomad=2", "nomad:1"])
def test_versions_that_are_written_otherwise_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="here: ") as failure:
        read_versions(text, "here")
    assert "NAME=VERSION" in failure.value.remedy


@pytest.mark.parametrize(("name", "version"), [(name, pin.version) for name, pin in load_pins().further])
def test_a_further_version_that_its_module_does_not_require_names_both_files(
    spoilt: Path, name: str, version: str
) -> None:
    module = spoilt / "go" / "further" / f"{name}-{version}" / "go.mod"
    change(module, f" v{version}", " v9.9.9")
    with pytest.raises(UsageError) as failure:
        load_pins()
    said = str(failure.value)
    assert f"go.{name}.further has {version}" in said
    assert str(module) in said
    assert "9.9.9" in said


def test_a_further_version_without_a_module_is_told(spoilt: Path) -> None:
    change(spoilt / "versions.toml", 'further = ["0.28.0"]', 'further = ["0.28.0", "0.27.9"]')
    with pytest.raises(UsageError, match=r"headscale-0\.27\.9"):
        load_pins()


def test_only_programs_that_can_be_chosen_have_further_versions(spoilt: Path) -> None:
    change(spoilt / "versions.toml", 'version = "1.22.3"', 'version = "1.22.3"\nfurther = ["1.21.0"]')
    with pytest.raises(UsageError, match=r"go\.consul has further versions"):
        load_pins()


def test_a_version_that_the_module_does_not_require_names_both_files(spoilt: Path) -> None:
    change(spoilt / "versions.toml", 'version = "1.11.3"', 'version = "9.9.9"')
    with pytest.raises(UsageError) as failure:
        load_pins()
    said = str(failure.value)
    assert str(spoilt / "versions.toml") in said
    assert str(spoilt / "go" / "nomad" / "go.mod") in said
    assert "9.9.9" in said
    assert "1.11.3" in said
    assert "go get github.com/hashicorp/nomad@v9.9.9" in said


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('suite = "trixie"', 'suit = "trixie"', "suit"),
        ('suite = "trixie"', 'suite = "trixie"\ncolour = "red"', "colour"),
        ('binaries = ["/bin/nomad"]', "", "binaries"),
        ("[report]", "[rapport]", "rapport"),
        ('version = "3.13"', "version = ", "TOML"),
        ("[go.nomad]", "[go.nomad2]", "nomad2"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(spoilt: Path, old: str, new: str, named: str) -> None:
    change(spoilt / "versions.toml", old, new)
    with pytest.raises(UsageError) as failure:
        load_pins()
    assert str(spoilt / "versions.toml") in str(failure.value)
    assert named in str(failure.value)


def test_a_missing_file_is_named(spoilt: Path) -> None:
    (spoilt / "versions.toml").unlink()
    with pytest.raises(UsageError, match=r"versions\.toml cannot be read"):
        load_pins()
