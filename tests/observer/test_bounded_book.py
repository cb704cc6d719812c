"""The observer's book: in order, bounded, and never silent about what it no longer has, or never had."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observer.programs import Loose, module

bounded_book = module("bounded_book")
Make = Callable[..., Any]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Any] = []

    def one(room: int = 1_000_000, name: str = "book") -> Loose:
        made.append(bounded_book.BoundedBook(tmp_path / name, room))
        return made[-1]

    yield one
    for book in made:
        book.close()


def write(book: Loose, said: str = "t", **more: str) -> None:
    book.write("http", ("::ffff:198.51.100.7", 4000, 0, 0), ("::", 80, 0, 0), token=said, **more)


def whole(book: Loose, after: int = 0, parts: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """All pages; each has to get on."""
    lines: list[dict[str, Any]] = []
    while True:
        page = book.page(after, parts)
        lines += page.lines
        if page.last == page.newest:
            return lines
        assert page.last > after
        after = page.last


def test_a_line_has_who_came_and_what_it_was_told(make: Make) -> None:
    book = make()
    write(book, "t-1", agent="worker/1", target="GET http://observer/", lie="203.0.113.66")
    (line,) = book.page(0).lines
    assert line.pop("at") > 1_000_000_000
    assert line == {
        "number": 1, "protocol": "http", "peer": "198.51.100.7", "peer_port": 4000, "local": "::",
        "token": "t-1", "agent": "worker/1", "target": "GET http://observer/", "told": "203.0.113.66",
    }  # fmt: skip


def test_an_empty_book(make: Make) -> None:
    page = make().page(0)
    assert (page.lines, page.last, page.newest, page.dropped, page.turned_away) == ([], 0, 0, 0, 0)


def test_it_is_read_on_from_a_line(make: Make) -> None:
    book = make()
    for number in range(5):
        write(book, f"t-{number}")
    assert [line["number"] for line in book.page(3).lines] == [4, 5]
    assert book.page(5).lines == []


@pytest.mark.parametrize("after", [1, 7])
def test_a_line_that_it_does_not_have_yet_is_of_another_book(make: Make, after: int) -> None:
    with pytest.raises(bounded_book.AnotherBookError):
        make().page(after)


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ((), [1, 2, 3, 4]),
        (("run-1",), [1, 2, 3]),
        (("run-1", "run-2"), [1, 2, 3, 4]),
        (("run-2",), [4]),
        (("nobody",), []),
        (("198.51.100.7",), []),
        (("",), [1, 2, 3, 4]),
    ],
)
def test_only_lines_that_are_asked_for(make: Make, parts: tuple[str, ...], found: list[int]) -> None:
    book = make()
    write(book, "run-1-a")
    write(book, "", agent="worker run-1")
    write(book, "", target="GET http://observer/run-1")
    write(book, "run-2")
    page = book.page(0, parts)
    assert [line["number"] for line in page.lines] == found
    # What others asked was looked at, too: so the reader gets on.
    assert (page.last, page.newest) == (4, 4)


@given(st.lists(st.text(max_size=700), max_size=12))
def test_any_text_is_kept(texts: list[str]) -> None:
    book = bounded_book.BoundedBook(Path(os.environ["PYTEST_BOOK"]), 1_000_000)
    try:
        for text in texts:
            write(book, text, agent=text, target=text)
        lines = book.page(0).lines
    finally:
        book.close()
    kept = [bounded_book.cut(text) for text in texts]
    assert [(line["token"], line["agent"], line["target"]) for line in lines] == [(k, k, k) for k in kept]
    assert all(len(k) <= bounded_book.LONGEST_TEXT for k in kept)


@pytest.fixture(autouse=True)
def _a_place_for_hypothesis(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that is made anew for each example is what BoundedBook promises.
    monkeypatch.setenv("PYTEST_BOOK", str(tmp_path_factory.mktemp("any")))


@given(room=st.integers(1, 6_000), lengths=st.lists(st.integers(0, 500), min_size=1, max_size=60))
def test_what_it_has_and_what_it_dropped_is_all_there_was(room: int, lengths: list[int]) -> None:
    folder = Path(os.environ["PYTEST_BOOK"])
    book = bounded_book.BoundedBook(folder, room)
    try:
        for length in lengths:
            write(book, "x" * length)
        page, lines = book.page(0), whole(book)
        assert page.dropped + len(lines) == len(lengths) == page.newest
        assert [line["number"] for line in lines] == list(range(page.dropped + 1, len(lengths) + 1))
        assert [len(line["token"]) for line in lines] == lengths[page.dropped :]
        # Of whatever line one asks, what is lost after it is told.
        for after in range(len(lengths) + 1):
            assert book.page(after).dropped == max(0, page.dropped - after)
        # Bounded: each file takes its half, or a single line.
        longest = max(map(len, (folder / "seen.jsonl").read_bytes().splitlines(keepends=True)))
        assert (folder / "seen.jsonl").stat().st_size <= max(room // 2, longest)
        assert {file.name for file in folder.iterdir()} <= {"seen.jsonl", "seen.earlier.jsonl"}
    finally:
        book.close()


def test_a_long_book_is_read_in_pages(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    book = make()
    for number in range(40):
        write(book, f"t-{number}")
    for size in (1, 100, 500, 1_000, 5_000, 1_000_000):
        monkeypatch.setattr(bounded_book, "PAGE_BYTES", size)
        assert [line["number"] for line in whole(book)] == list(range(1, 41))
        assert [line["number"] for line in whole(book, 7, ("t-3",))] == [31, *range(31, 41)][1:]
        raw = [json.dumps(line) for line in book.page(0).lines]
        assert len(raw) == 1 or sum(map(len, raw)) <= size


def test_pages_go_over_from_one_file_to_the_other(make: Make) -> None:
    book = make(4_000)
    for number in range(14):
        write(book, f"t-{number}")
    files = {f.name for f in book._folder.iterdir()}
    assert files == {"seen.jsonl", "seen.earlier.jsonl"}
    assert [line["number"] for line in whole(book)] == list(range(1, 15))


def test_who_was_turned_away_is_counted_from_a_line_on(make: Make) -> None:
    book = make()
    book.miss()
    write(book)
    write(book)
    book.miss(2)
    book.miss()
    write(book)
    assert [book.page(after).turned_away for after in range(4)] == [4, 3, 3, 0]
    # Whatever one looks for: what they had to say is not known.
    assert book.page(1, ("nobody",)).turned_away == 3


def test_who_was_turned_away_is_forgotten_with_the_lines_around(make: Make) -> None:
    book = make(2_000)
    for _ in range(200):
        book.miss()
        write(book, "x" * 100)
    page = book.page(0)
    assert page.dropped > 150
    assert len(book._missed) == page.turned_away == len(whole(book))


class FullDisk:
    """A disk that takes so many bytes, as os.pwrite sees it."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.write = os.pwrite

    def __call__(self, handle: int, data: bytes, offset: int) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self.write(handle, data[: self.room], offset)
        self.room -= written
        return written


def test_a_full_disk_is_told_and_leaves_no_half_a_line(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    book = make()
    write(book, "first")
    disk = FullDisk(100)
    monkeypatch.setattr(bounded_book.os, "pwrite", disk)
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            write(book, "lost")
    page = book.page(0)
    assert [line["token"] for line in page.lines] == ["first"]
    assert page.turned_away == 3
    assert capsys.readouterr().err == (
        "observer: the book cannot be written: [Errno 28] No space left on device\n"
    )
    disk.room = 10_000
    write(book, "again")
    page = book.page(1)
    assert [(line["number"], line["token"]) for line in page.lines] == [(2, "again")]
    assert page.turned_away == 3


def test_a_book_begins_anew_with_its_process(make: Make) -> None:
    first = make(2_000)
    for _ in range(20):
        write(first)
    second = make()
    assert second.id != first.id
    assert second.page(0).newest == 0
    assert [f.name for f in second._folder.iterdir()] == ["seen.jsonl"]
    assert (second._folder / "seen.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_is_none(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        make(name="file")


def test_many_at_once(make: Make) -> None:
    book = make()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: write(book, f"t-{n}"), range(400)))
    lines = whole(book)
    assert [line["number"] for line in lines] == list(range(1, 401))
    assert {line["token"] for line in lines} == {f"t-{n}" for n in range(400)}
