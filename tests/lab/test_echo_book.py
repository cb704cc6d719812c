"""The echo service's book: complete, or an error of the lab."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import LabError
from harness.lab import echo_book
from harness.ledger.facts import RequestSeen


def line(number: int, **changes: object) -> str:
    seen = {
        "number": number,
        "at": 1000.5,
        "protocol": "http",
        "peer": "198.51.100.20",
        "peer_port": 40000,
        "local": "198.18.80.80",
        "token": "t",
        "agent": "worker/1",
        "target": "GET http://echo.lab.test/",
        "told": "198.51.100.20",
    }
    return json.dumps({**seen, **changes})


def test_a_line_is_a_request() -> None:
    (read,) = echo_book.read(line(1) + "\n")
    assert read.request == RequestSeen(
        "http", "198.51.100.20", 40000, "198.18.80.80", "t", "worker/1", "GET http://echo.lab.test/", 1000.5
    )
    assert (read.number, read.at, read.lied_to) == (1, 1000.5, False)


def test_a_lie_shows() -> None:
    (read,) = echo_book.read(line(1, told="203.0.113.66"))
    assert read.lied_to


def test_an_empty_book_is_no_error() -> None:
    assert echo_book.read("") == []


@given(missing=st.integers(1, 5), length=st.integers(2, 6))
def test_a_missing_request_is_an_error_of_the_lab(missing: int, length: int) -> None:
    numbers = [n for n in range(1, length + 1) if n != min(missing, length - 1)]
    with pytest.raises(LabError, match="skips from request"):
        echo_book.read("\n".join(map(line, numbers)))


def test_a_skip_names_both_ends() -> None:
    with pytest.raises(LabError, match="skips from request 1 to 3"):
        echo_book.read("\n".join([line(1), line(3)]))


@pytest.mark.parametrize(
    "spoiled", [line(2)[:30], "", "[]", "{}", json.dumps({"number": 2}), '"text"', "null", "2"]
)
def test_a_line_that_is_none_is_named(spoiled: str) -> None:
    with pytest.raises(LabError, match="line 2 of the echo service's book cannot be read"):
        echo_book.read("\n".join([line(1), spoiled, line(3)]))
