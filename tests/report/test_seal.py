"""Digests and seals: an edit shows, another way of writing the same does not."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report import record, seal
from tests.report import sample

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
OBJECTS = st.dictionaries(st.text(), VALUES)


@given(OBJECTS)
def test_a_seal_holds_through_any_way_of_writing(data: dict[str, Any]) -> None:
    text = json.dumps(seal.sealed(data), indent=1, sort_keys=True, ensure_ascii=False)
    assert seal.holds(json.loads(text))


@given(OBJECTS, st.text().filter(lambda key: key != seal.SEAL), VALUES)
def test_it_does_not_hold_after_an_edit(data: dict[str, Any], key: str, value: object) -> None:
    whole = seal.sealed(data)
    edited = {**whole, key: value}
    if json.dumps(edited, sort_keys=True) != json.dumps(whole, sort_keys=True):
        assert not seal.holds(edited)


def test_without_a_seal_nothing_holds() -> None:
    assert not seal.holds({})


def test_a_record_is_written_with_its_seal(tmp_path: Path) -> None:
    record.write(sample.record(), tmp_path / "run.json")
    assert seal.holds(json.loads((tmp_path / "run.json").read_text(encoding="utf-8")))


def test_digests_are_by_the_path_below_the_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    files = [tmp_path / "runs" / "b", tmp_path / "a"]
    for file in files:
        file.write_bytes(b"")
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert list(seal.digests(files, tmp_path).items()) == [("a", nothing), ("runs/b", nothing)]
    with pytest.raises(FileNotFoundError):
        seal.digests([tmp_path / "none"], tmp_path)
