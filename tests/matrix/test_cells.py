"""Which cells a version matrix has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.matrix.cells import DEFAULT, Cell, cells
from harness.supply.pins import MOVABLE, GoPin, Pins, load_pins

PINNED = {"nomad": ("3.0", "2.0", "1.0"), "tailscale": ("6.0", "5.0"), "headscale": ("9.0",)}


def pins() -> Pins:
    made = load_pins()
    choices = {
        name: tuple(GoPin(version, "m", ["p"], "", ["/b"], []) for version in versions)
        for name, versions in PINNED.items()
    }
    return Pins(
        golang=made.golang,
        debian=made.debian,
        python=made.python,
        redis=made.redis,
        report=made.report,
        go={name: found[0] for name, found in choices.items()},
        choices=choices,
    )


def names(found: tuple[Cell, ...]) -> list[str]:
    return [cell.name for cell in found]


def test_by_default_each_further_version_is_alone_against_the_defaults() -> None:
    assert names(cells(pins(), {})) == [DEFAULT, "nomad-2.0", "nomad-1.0", "tailscale-5.0"]


def test_the_product_is_every_combination_the_default_first() -> None:
    found = cells(pins(), {}, product=True)
    assert found[0].name == DEFAULT
    assert len(found) == 6
    assert found[-1].name == "nomad-1.0_tailscale-5.0"


def test_what_is_wished_is_all_that_is_run() -> None:
    assert names(cells(pins(), {"nomad": ("1.0",)})) == ["nomad-1.0"]
    assert names(cells(pins(), {"nomad": ("1.0", "3.0"), "tailscale": ("5.0",)})) == [
        DEFAULT,
        "nomad-1.0",
        "tailscale-5.0",
    ]


def test_a_product_of_wishes_leaves_the_others_at_their_defaults() -> None:
    assert names(cells(pins(), {"nomad": ("1.0",), "tailscale": ("5.0",)}, product=True)) == [
        "nomad-1.0_tailscale-5.0"
    ]


def test_a_version_without_a_pin_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError) as failure:
        cells(pins(), {"nomad": ("1.0", "7.7")})
    assert "nomad 7.7 is not pinned" in str(failure.value)
    assert "3.0 (the default), 2.0, 1.0" in failure.value.remedy


wishes = st.fixed_dictionaries({name: st.lists(st.sampled_from(PINNED[name])).map(tuple) for name in MOVABLE})


@given(wishes, st.booleans())
def test_every_cell_is_told_from_the_others_and_of_pinned_versions(
    wished: dict[str, tuple[str, ...]], product: bool
) -> None:
    found = cells(pins(), wished, product=product)
    assert found
    assert len(set(names(found))) == len(found) == len({cell.option for cell in found})
    for cell in found:
        assert all(version in PINNED[name] for name, version in cell.versions.items())
        assert cell.changed == tuple(n for n in MOVABLE if cell.versions[n] != PINNED[n][0])
        assert product or len(cell.changed) <= 1
        # A folder's name.
        assert "/" not in cell.name
        assert not cell.name.startswith(".")


@given(wishes)
def test_every_wished_version_is_in_a_cell(wished: dict[str, tuple[str, ...]]) -> None:
    for product in (False, True):
        found = cells(pins(), wished, product=product)
        for name, versions in wished.items():
            assert set(versions) <= {cell.versions[name] for cell in found}
