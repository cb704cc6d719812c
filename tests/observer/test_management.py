"""What the holder of the token may ask, and that nobody else may."""

import json
import re
import socket
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observer.programs import TOKEN, Loose, module

management = module("management")
outward = module("outward")
bounded_book = module("bounded_book")
REPOSITORY = Path(__file__).resolve().parents[2]
BEARER = f"Bearer {TOKEN}"


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Loose]:
    made = bounded_book.BoundedBook(tmp_path / "book", 1_000_000)
    yield made
    made.close()


@pytest.fixture
def managed(book: Loose) -> Iterator[Loose]:
    made = management.Management(TOKEN.encode(), book, {"http": 80, "https": 443}, wrong_seconds=0)
    yield made
    made.close()


def question(path: str = "about", method: str = "GET", **more: Loose) -> Loose:
    asked = {
        "method": method, "path": f"/observer/{path}", "query": "", "authorization": BEARER, "forwarded": (),
        "peer": "198.51.100.7", "private": True, **more,
    }  # fmt: skip
    return management.Question(**asked)


def test_the_token_opens(managed: Loose) -> None:
    assert managed.open_to(question()) is None
    assert managed.open_to(question(authorization=f"bearer  {TOKEN} ")) is None


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"{BEARER}x",
        BEARER[:-1],
        BEARER.upper(),
        "Bearer \xff",
    ],
)
@pytest.mark.parametrize("path", ["about", "book", "probe", "nothing", ""])
def test_nothing_else_does(managed: Loose, authorization: str, path: str) -> None:
    status, said = managed.open_to(question(path, authorization=authorization))
    assert status == 401
    assert TOKEN not in str(said)


@given(st.text(max_size=60).filter(lambda text: text.strip() != TOKEN))
def test_no_other_text_does(text: str) -> None:
    made = management.Management(TOKEN.encode(), None, {}, wrong_seconds=0)
    assert made.open_to(question(authorization=f"Bearer {text}"))[0] == 401


def test_without_a_token_there_is_nothing(book: Loose) -> None:
    made = management.Management(None, book, {})
    for authorization in (BEARER, "Bearer ", ""):
        assert made.open_to(question(authorization=authorization))[0] == 404


def test_a_token_that_could_be_read_on_its_way_opens_nothing(book: Loose, managed: Loose) -> None:
    status, said = managed.open_to(question(private=False))
    assert status == 403
    assert managed.open_to(question(private=False, authorization=""))[1] == said  # right or wrong
    plain = management.Management(TOKEN.encode(), book, {}, plain=True, wrong_seconds=0)
    assert plain.open_to(question(private=False)) is None
    assert plain.open_to(question(private=False, authorization=""))[0] == 401


def test_a_wrong_token_takes_its_time_and_no_longer_than_the_observer_runs(book: Loose) -> None:
    slow = management.Management(TOKEN.encode(), book, {}, wrong_seconds=0.3)
    began = time.monotonic()
    slow.open_to(question(authorization="Bearer x"))
    assert time.monotonic() - began >= 0.3
    began = time.monotonic()
    slow.open_to(question())
    assert time.monotonic() - began < 0.3
    endless = management.Management(TOKEN.encode(), book, {}, wrong_seconds=600)
    waiting = threading.Thread(target=endless.open_to, args=(question(authorization=""),))
    waiting.start()
    endless.close()
    waiting.join(10)
    assert not waiting.is_alive()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nothing", 404),
        ("GET", "", 404),
        ("GET", "about/more", 404),
        ("POST", "book", 405),
        ("DELETE", "about", 405),
        ("GET", "probe", 405),
        ("HEAD", "about", 405),
    ],
)
def test_other_questions(managed: Loose, method: str, path: str, status: int) -> None:
    assert managed.answer(question(path, method))[0] == status


def test_what_it_says_of_itself(managed: Loose, book: Loose) -> None:
    status, about = managed.answer(question(forwarded=("Via",)))
    assert status == 200
    assert abs(about.pop("now") - time.time()) < 5
    assert about.pop("addresses") == outward.own_addresses()
    assert about == {
        "version": management.VERSION, "protocols": {"http": 80, "https": 443}, "book": book.id, "newest": 0,
        "you": "198.51.100.7", "forwarded": ["Via"],
    }  # fmt: skip


def test_its_version_is_that_of_the_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == management.VERSION


def test_a_page_of_the_book(managed: Loose, book: Loose) -> None:
    for token in ("run-1", "run-2", "run-3"):
        book.write("http", ("127.0.0.1", 1), ("127.0.0.1", 2), token=token)
    book.miss()
    status, page = managed.answer(question("book", query="after=1&token=run-3&token=run-1"))
    assert status == 200
    assert [line["number"] for line in page.pop("lines")] == [3]
    assert page == {"book": book.id, "last": 3, "newest": 3, "dropped": 0, "turned_away": 1}
    assert len(managed.answer(question("book"))[1]["lines"]) == 3


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=1.5", "after=9999999999", "token=a&" * 17])
def test_a_question_for_no_page(managed: Loose, query: str) -> None:
    assert managed.answer(question("book", query=query))[0] == 400


def test_a_page_after_the_end_is_of_another_book(managed: Loose) -> None:
    status, said = managed.answer(question("book", query="after=1"))
    assert (status, "another book" in said["error"]) == (409, True)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 200_000, b'{"targets": [1]}'])
def test_an_order_that_is_none(managed: Loose, body: bytes) -> None:
    status, said = managed.answer(question("probe", "POST", body=lambda: body))
    assert status == 400
    assert said["error"].startswith("no order for a probe: ")


def test_an_order_whose_body_could_not_be_read_was_answered_already(managed: Loose) -> None:
    assert managed.answer(question("probe", "POST", body=lambda: None)) is None


def test_an_order_is_carried_out(managed: Loose) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        body = json.dumps({"targets": [["127.0.0.1", port]], "seconds": 1}).encode()
        status, said = managed.answer(question("probe", "POST", body=lambda: body))
    assert status == 200
    ((found),) = said["targets"]
    assert 0 <= found.pop("seconds") < 1
    assert found == {"address": "127.0.0.1", "port": port, "connected": True, "error": ""}


@pytest.mark.parametrize(
    ("asked", "targets", "seconds"),
    [
        ({"targets": []}, (), 3.0),
        ({"targets": [["::1", 1], ["::1", 65535]]}, (("::1", 1), ("::1", 65535)), 3.0),
        ({"targets": [["2001:DB8:0::1", 80]], "seconds": 10}, (("2001:db8::1", 80),), 10.0),
        ({"targets": [["::ffff:198.51.100.9", 80]], "seconds": 0.5}, (("198.51.100.9", 80),), 0.5),
    ],
)  # fmt: skip
def test_an_order_is_read(asked: object, targets: object, seconds: float) -> None:
    read = outward.order(asked)
    assert (read.targets, read.seconds) == (targets, seconds)


@pytest.mark.parametrize(
    "target",
    [
        ["example.com", 80], ["198.51.100.9", 0], ["198.51.100.9", 65536], ["198.51.100.9", -1],
        ["198.51.100.9", "80"], ["198.51.100.9", True], ["198.51.100.9", 80.0], ["198.51.100.9"],
        ["198.51.100.9", 80, 1], "198.51.100.9", None, ["198.51.100", 80], [3325256713, 80],
        ["fe80::1%eth0", 80], ["127.0.0.1 ", 80], {"address": "198.51.100.9", "port": 80},
    ],
)  # fmt: skip
def test_a_target_that_is_none_is_named(target: object) -> None:
    with pytest.raises(ValueError, match=re.escape(str(target)) + " is no target"):
        outward.order({"targets": [["198.51.100.9", 80], target]})


@pytest.mark.parametrize("seconds", [0, -1, 10.1, "3", True, None, float("nan"), float("inf")])
def test_seconds_that_are_none(seconds: object) -> None:
    with pytest.raises(ValueError, match="seconds has to be"):
        outward.order({"targets": [], "seconds": seconds})


def test_too_many_targets() -> None:
    target = ["198.51.100.9", 80]
    assert len(outward.order({"targets": [target] * 2000}).targets) == 2000
    with pytest.raises(ValueError, match="2001 targets"):
        outward.order({"targets": [target] * 2001})


def test_probes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    released, begun, most, now = threading.Event(), threading.Barrier(65), [0], [0]
    lock = threading.Lock()

    def tried(address: str, port: int, seconds: float) -> dict[str, object]:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        if port == 1:
            begun.wait(10)
        released.wait(10)
        with lock:
            now[0] -= 1
        return {"address": address, "port": port, "seconds": seconds}

    monkeypatch.setattr(outward, "_tried", tried)
    prober = outward.Prober()
    order = outward.Order((*[("127.0.0.1", 1)] * 64, *[("127.0.0.1", 2)] * 100), 1.0)
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda o=o: results.append(len(prober.run(o))))
        for o in (order, *[outward.Order((("127.0.0.1", 2),), 1.0)] * 7)
    ]
    try:
        threads[0].start()
        begun.wait(10)
        for thread in threads[1:]:
            thread.start()
        while prober._probes._value:
            assert all(thread.is_alive() for thread in threads)
        with pytest.raises(outward.BusyError):
            prober.run(order)
    finally:
        released.set()
        for thread in threads:
            thread.join()
        prober.close()
    assert sorted(results) == [1] * 7 + [164]
    assert most == [64]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "shorter than 24"),
        (b"short\n", "shorter than 24"),
        (b"x" * 30 + b" " + b"y" * 30, "other characters"),
        (b"x" * 30 + b"\n" + b"y" * 30, "other characters"),
        (b"\xff" * 40, "other characters"),
    ],
)
def test_a_token_that_is_none(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(management.BadTokenError, match=said) as caught:
        management.read_token(tmp_path / "token")
    assert "xxx" not in str(caught.value)


def test_a_token_is_read_without_the_ends_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f" {TOKEN}\r\n")
    assert management.read_token(tmp_path / "token") == TOKEN.encode()
