"""The pins: one file, strict, and of one mind with the Go modules."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.supply.pins import load_pins


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_pins_of_this_checkout_are_of_one_mind() -> None:
    pins = load_pins()
    assert set(pins.go) == {"nomad", "tailscale", "headscale", "labcontrol", "pebble", "consul"}
    published = [pin for pin in pins.go.values() if pin.image]
    assert all(pin.image.removeprefix("v").endswith(pin.version) for pin in published)


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
