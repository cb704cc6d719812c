"""Docker's frames: the same streams come out, wherever the bytes were cut."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.management.docker_frames import Frames

FRAMES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=8)


def encoded(frames: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack(">BxxxL", number, len(body)) + body for number, body in frames)


def said(frames: list[tuple[int, bytes]], number: int) -> bytes:
    return b"".join(body for n, body in frames if n == number)


@given(frames=FRAMES, cuts=st.lists(st.integers(0, 400)))
def test_any_split_gives_the_same(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    whole = encoded(frames)
    ends = [*sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    taken, begin = Frames(), 0
    for end in ends:
        taken.feed(whole[begin:end])
        begin = end
    assert taken.take(10**6) == said(frames, 1)
    assert bytes(taken.stderr) == said(frames, 2)
    assert not taken.cut


@given(frames=FRAMES)
def test_byte_by_byte(frames: list[tuple[int, bytes]]) -> None:
    taken = Frames()
    for byte in encoded(frames):
        taken.feed(bytes([byte]))
    assert (taken.take(10**6), bytes(taken.stderr)) == (said(frames, 1), said(frames, 2))


@given(frames=FRAMES, at_most=st.integers(1, 50))
def test_what_is_taken_in_portions_is_all_there_is(frames: list[tuple[int, bytes]], at_most: int) -> None:
    taken = Frames()
    taken.feed(encoded(frames))
    portions = list(iter(lambda: taken.take(at_most), b""))
    assert all(len(p) <= at_most for p in portions)
    assert b"".join(portions) == said(frames, 1)


@given(frames=FRAMES, later=FRAMES)
def test_what_was_taken_is_not_given_again(
    frames: list[tuple[int, bytes]], later: list[tuple[int, bytes]]
) -> None:
    taken = Frames()
    for each in (frames, later):
        taken.feed(encoded(each))
        assert taken.take_all() == (said(each, 1), said(each, 2))
    assert taken.take_all() == (b"", b"")


@given(frames=FRAMES, data=st.data())
def test_a_stream_that_was_torn_off_shows(frames: list[tuple[int, bytes]], data: st.DataObject) -> None:
    whole = encoded(frames)
    kept = data.draw(st.integers(0, len(whole)))
    taken = Frames()
    taken.feed(whole[:kept])
    ends, position = {0}, 0
    for _, body in frames:
        position += 8 + len(body)
        ends.add(position)
    assert taken.cut == (kept not in ends)


def test_the_beginning_of_a_frame_is_given_before_its_end_has_come() -> None:
    taken = Frames()
    taken.feed(struct.pack(">BxxxL", 1, 100) + b"begin")
    assert taken.take(100) == b"begin"
    assert taken.cut


@pytest.mark.parametrize("number", [0, 3, 255])
def test_another_stream_is_no_output(number: int) -> None:
    taken = Frames()
    taken.feed(encoded([(number, b"x"), (1, b"y")]))
    assert taken.take(10) == b"y"
