"""What strangers may take: so many connections, so many of one caller, and each for so long."""

import io
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.client import LineTooLong

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observer.programs import Loose, module

limits = module("limits")
Pairs = Callable[[], tuple[socket.socket, socket.socket]]


class Clock:
    """Instead of the module's time."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(limits, "time", made)
    return made


@pytest.fixture
def pair() -> Iterator[Pairs]:
    with ExitStack() as stack:

        def made() -> tuple[socket.socket, socket.socket]:
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            stack.enter_context(theirs)
            return ours, theirs

        yield made


def doors(**more: Loose) -> Loose:
    return limits.Doors(lambda: None, **more)


@pytest.mark.parametrize(
    ("peer", "who"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("2001:db8:1:3::", "2001:db8:1:3::"),
        ("fe80::1%eth0", "fe80::"),
    ],
)
def test_who_counts_as_one_caller(peer: str, who: str) -> None:
    assert limits.caller(peer) == who


@given(st.ip_addresses(v=6), st.ip_addresses(v=6))
def test_callers_of_one_network_are_one(one: Loose, other: Loose) -> None:
    same = one.packed[:8] == other.packed[:8]
    if not (one.ipv4_mapped or other.ipv4_mapped):
        assert (limits.caller(str(one)) == limits.caller(str(other))) is same


def test_so_many_of_one_and_so_many_in_all(pair: Pairs) -> None:
    held = doors(at_once=3, of_one=2)
    first, second, third, far = (pair()[0] for _ in range(4))
    assert held.enter(first, "198.51.100.7")
    assert held.enter(second, "::ffff:198.51.100.7")
    assert not held.enter(third, "198.51.100.7")
    assert held.enter(far, "2001:db8::1")
    assert not held.enter(pair()[0], "203.0.113.1")
    held.leave(first)
    held.leave(first)  # twice counts once
    assert held.enter(third, "198.51.100.7")
    assert not held.enter(first, "198.51.100.7")
    for each in (second, third, far):
        held.leave(each)
    assert not held._callers  # nobody is remembered
    assert not held._visits


def closed(theirs: socket.socket) -> bool:
    theirs.setblocking(False)
    with suppress(BlockingIOError):
        return theirs.recv(1) == b""
    return False


def test_who_takes_too_long_is_closed_and_nobody_else(clock: Clock, pair: Pairs) -> None:
    held = doors(seconds=10)
    slow, quick = pair(), pair()
    held.enter(slow[0], "198.51.100.7")
    clock.now += 6
    held.enter(quick[0], "198.51.100.7")
    held.close_overdue()
    assert not closed(slow[1])
    clock.now += 5
    held.close_overdue()
    assert closed(slow[1])
    assert not closed(quick[1])
    held.close_overdue()  # once more is no matter, nor is one whose other end has gone
    quick[1].close()
    clock.now += 10
    held.close_overdue()


def test_each_request_has_its_time(clock: Clock, pair: Pairs) -> None:
    held = doors(seconds=10)
    ours, theirs = pair()
    held.enter(ours, "198.51.100.7")
    with held.serving(ours):
        for _ in range(11):
            clock.now += 9
            assert held.renew()
            held.close_overdue()
            assert not closed(theirs)
        clock.now += limits.LONGEST
        assert not held.renew()  # that one was the last
        held.close_overdue()
        assert not closed(theirs)
        clock.now += 11
        held.close_overdue()
        assert closed(theirs)
    assert not held._visits


def test_who_may_take_longer(clock: Clock, pair: Pairs) -> None:
    held = doors(seconds=10)
    ours, theirs = pair()
    held.enter(ours, "198.51.100.7")
    with held.serving(ours):
        held.renew(float("inf"))
        clock.now += 10_000
        held.close_overdue()
        assert not closed(theirs)


def test_a_connection_ends_with_its_thread_whatever_comes_of_it(pair: Pairs) -> None:
    held = doors(at_once=1)
    ours, _ = pair()
    held.enter(ours, "198.51.100.7")
    with pytest.raises(OSError, match="gone"), held.serving(ours):
        raise OSError("gone")
    assert held.enter(ours, "198.51.100.7")


def test_a_head_may_be_so_long() -> None:
    line = b"x" * 99 + b"\n"
    reader = limits.HeadReader(io.BytesIO(line * 1000))
    for _ in range(limits.HEAD_BYTES // 100):
        assert reader.readline(65537) == line
    with pytest.raises(LineTooLong):
        reader.readline(65537)
    reader.next_request()
    assert reader.readline(65537)


def test_one_line_without_an_end_is_not_read_to_it() -> None:
    stream = io.BytesIO(b"x" * 10_000_000)
    with pytest.raises(LineTooLong):
        limits.HeadReader(stream).readline(65537)
    assert stream.tell() <= limits.HEAD_BYTES + 1


def test_a_body_is_no_head() -> None:
    reader = limits.HeadReader(io.BytesIO(b"x" * 50_000))
    assert len(reader.read(50_000)) == 50_000
