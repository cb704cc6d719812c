"""The bridge and its handler as processes, killed at each of their lines: nothing lost, nothing twice."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.modules.feed import URL, Feed
from tests.toolkit.programs import REPOSITORY
from tests.toolkit.tailnet import free_port

EXAMPLE = REPOSITORY / "examples/webhook-bridge"
KILLED_AT = Path(__file__).with_name("killed_at.py")
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Allocation:
    """The folder and the port that a bridge and its handler share, and the feed that it asks."""

    folder: Path
    port: int
    feed: Feed
    programs: Path = EXAMPLE

    def start(self, program: str, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start a program of the example; with arguments, by killed_at.py."""
        proxy = f"http://127.0.0.1:{self.feed.port}"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "NOMAD_ALLOC_DIR": str(self.folder),
            "NOMAD_SHORT_ALLOC_ID": "0a1b2c3d",
            "HANDLER_PORT": str(self.port),
            "BRIDGE_HANDLER_URL": f"http://127.0.0.1:{self.port}/events",
            "BRIDGE_FEED_URL": URL,
            "BRIDGE_LONGEST_PAUSE": "0.2",
            "HTTP_PROXY": proxy,
            "HTTPS_PROXY": proxy,
            "NO_PROXY": "",
            "no_proxy": "",
            **settings,
        }
        file = str(self.programs / program)
        return subprocess.Popen(
            [sys.executable, "-u", *([str(KILLED_AT), file, *arguments] if arguments else [file])],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, program: str, *arguments: str, **settings: str) -> tuple[int, str, str]:
        """Run a program to its end."""
        process = self.start(program, *arguments, **settings)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    @contextmanager
    def handler(self) -> Iterator[subprocess.Popen[str]]:
        """A handler that listens."""
        process = self.start("handler.py")
        try:
            assert process.stderr
            assert process.stderr.readline() == "webhook-handler: listening\n"
            yield process
        finally:
            process.kill()
            process.communicate()

    def handled(self) -> list[int]:
        """Give the events that were handled, in order, each as often as it was."""
        with closing(sqlite3.connect(self.folder / "data/handler/handled.sqlite")) as database:
            rows = database.execute("SELECT event FROM inbox ORDER BY number").fetchall()
            noted = database.execute("SELECT count(*) FROM handled").fetchone()[0]
        events = [json.loads(row[0])["id"] for row in rows]
        assert noted == len(set(events))
        return events

    def cursor(self) -> int:
        """Give the event after which the bridge goes on; 0 where it has not begun."""
        file = self.folder / "data/bridge/cursor.json"
        return int(json.loads(file.read_text())["after"]) if file.exists() else 0


@pytest.fixture
def feed() -> Iterator[Feed]:
    with Feed() as running:
        yield running


@pytest.fixture
def allocation(tmp_path: Path, feed: Feed) -> Allocation:
    return Allocation(tmp_path, free_port(), feed)


def _moments(told: str) -> list[tuple[str, str]]:
    """Give where to kill: each line that killed_at.py tells of, the second time that it was reached.

    So the event before, which the last kill may have met halfway, is passed on first.
    """
    reached = Counter(re.findall(r"^line (\d+) \d+$", told, re.MULTILINE))
    return [(line, str(min(times, 2))) for line, times in reached.items()]


def _kill_the_bridge_everywhere(allocation: Allocation) -> Iterator[tuple[str, str]]:
    """Kill it at each line in turn, always on the same disk; tells of each time where, and what it said."""
    for name in ("bridge.py", "cursor.py"):
        file = str(allocation.programs / name)
        # Three events each time, so that a line which ends the work is reached as well.
        _, _, told = allocation.run("bridge.py", file, "0", "0", BRIDGE_EVENTS=str(allocation.cursor() + 3))
        moments = _moments(told)
        assert len(moments) > 10, told
        for line, times in moments:
            more = str(allocation.cursor() + 3)
            code, out, err = allocation.run("bridge.py", file, line, times, BRIDGE_EVENTS=more)
            assert code == KILLED, f"{line}: {err}"
            yield f"{name}:{line}", out


def test_events_are_passed_on_in_order_and_acknowledged(allocation: Allocation, feed: Feed) -> None:
    with allocation.handler():
        code, out, err = allocation.run("bridge.py", BRIDGE_EVENTS="5", BRIDGE_AFTER="7")
    assert (code, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"event": n, "new": True, "passed": n - 7} for n in range(8, 13)
    ]
    assert allocation.handled() == list(range(8, 13))
    assert feed.acknowledged == dict.fromkeys(range(8, 13), 1)
    assert [asked.url for asked in feed.asked if asked.method == "GET"] == [
        f"{URL}?after={n}" for n in (7, 9, 11)
    ]
    assert [asked.headers["x-request-token"] for asked in feed.asked] == [
        f"0a1b2c3d-{n}" for n in range(1, len(feed.asked) + 1)
    ]
    assert {asked.headers["user-agent"] for asked in feed.asked} == {"webhook-bridge/0a1b2c3d"}
    keys = [asked.headers["idempotency-key"] for asked in feed.asked if asked.method == "POST"]
    assert keys == [f"ack-{n}" for n in range(8, 13)]


def test_a_bridge_killed_at_any_line_loses_nothing_and_nothing_is_done_twice(
    allocation: Allocation, feed: Feed
) -> None:
    said = ""
    with allocation.handler():
        for where, out in _kill_the_bridge_everywhere(allocation):
            said += out
            handled = allocation.handled()
            assert handled == list(range(1, len(handled) + 1)), where
            assert feed.acknowledged.keys() <= set(handled), where
            assert allocation.cursor() in {0, *feed.acknowledged}, where
        end = allocation.cursor() + 3
        code, out, err = allocation.run("bridge.py", BRIDGE_EVENTS=str(end))
    assert (code, err) == (0, "")
    assert allocation.handled() == list(range(1, end + 1))
    assert feed.acknowledged.keys() == set(range(1, end + 1))
    # It did come to it: what the handler knew already, and what the feed heard again, after a kill between.
    assert '"new": false' in said + out
    assert max(feed.acknowledged.values()) > 1


def test_the_kills_would_show_an_order_that_loses_events(tmp_path: Path, feed: Feed) -> None:
    """How it looks when the cursor moves before the event is handed over."""
    spoilt = tmp_path / "programs"
    shutil.copytree(EXAMPLE, spoilt, ignore=shutil.ignore_patterns("__pycache__"))
    program = spoilt / "bridge.py"
    text = program.read_text(encoding="utf-8")
    write, over = "        self._cursor.write(moved)\n", "        new = self._insist("
    moved = "        moved = Position(event.id, position.passed + 1)\n"
    assert all(text.count(part) == 1 for part in (write, over, moved))
    text = text.replace(write, "").replace(moved, "").replace(over, moved + write + over)
    program.write_text(text, encoding="utf-8")
    allocation = Allocation(tmp_path, free_port(), feed, spoilt)
    with allocation.handler():
        for _ in _kill_the_bridge_everywhere(allocation):
            pass
        end = allocation.cursor() + 3
        assert allocation.run("bridge.py", BRIDGE_EVENTS=str(end))[0] == 0
    assert set(range(1, end + 1)) - set(allocation.handled())


def test_a_handler_killed_at_any_line_loses_nothing_and_does_nothing_twice(
    allocation: Allocation, feed: Feed
) -> None:
    file = str(EXAMPLE / "handler.py")
    bridge = allocation.start("bridge.py", BRIDGE_ATTEMPTS="1000", BRIDGE_LONGEST_PAUSE="0.05")
    try:
        tracing = allocation.start("handler.py", file, "0", "0")
        feed.wait_for(lambda f: len(f.acknowledged) > 3)
        tracing.kill()
        moments = _moments(tracing.communicate()[1])
        assert len(moments) > 40
        for line, times in moments:
            code, _, err = allocation.run("handler.py", file, line, times)
            assert code == KILLED, f"{line}: {err}"
            handled = allocation.handled() if (allocation.folder / "data/handler").exists() else []
            assert handled == list(range(1, len(handled) + 1)), line
            assert feed.acknowledged.keys() <= set(handled), line
        done = len(feed.acknowledged)
        with allocation.handler():
            feed.wait_for(lambda f: len(f.acknowledged) > done + 3)
            bridge.terminate()
            out, err = bridge.communicate(timeout=5)
    finally:
        bridge.kill()
        bridge.communicate()
    assert (bridge.returncode, err) == (143, "")
    handled = allocation.handled()
    assert handled == list(range(1, len(handled) + 1))
    assert feed.acknowledged == dict.fromkeys(feed.acknowledged, 1)
    assert len(handled) - len(feed.acknowledged) in {0, 1}
    # It did come to it: handled, and killed before the bridge heard of it.
    assert '"new": false' in out


def test_what_the_feed_refuses_is_asked_again(tmp_path: Path) -> None:
    troubles = [
        (503, ""),
        (200, "<html>"),
        (200, '{"events": [{"id": 1}, {"id": 1}]}'),
        (200, '{"events": [{"id": 0}]}'),
    ]
    with Feed(lambda method, _: troubles.pop(0) if troubles and method == "GET" else None) as feed:
        allocation = Allocation(tmp_path, free_port(), feed)
        with allocation.handler():
            code, out, _ = allocation.run("bridge.py", BRIDGE_EVENTS="1")
    *failed, passed = map(json.loads, out.splitlines())
    assert (code, passed) == (0, {"event": 1, "new": True, "passed": 1})
    assert [line["error"] for line in failed] == [
        "status 503",
        "the feed's answer is not a page of events",
        "the feed gave event 1 after 1",
        "the feed gave event 0 after 0",
    ]


def test_an_acknowledgement_that_is_refused_holds_up_what_comes_after(tmp_path: Path) -> None:
    with Feed(lambda method, _: (500, "") if method == "POST" else None) as feed:
        allocation = Allocation(tmp_path, free_port(), feed)
        with allocation.handler():
            code, _, err = allocation.run("bridge.py", BRIDGE_ATTEMPTS="3")
        assert (code, err) == (1, "webhook-bridge: could not acknowledge 1: status 500\n")
        assert (allocation.handled(), allocation.cursor()) == ([1], 0)
        feed.answers = lambda *_: None
        with allocation.handler():
            assert allocation.run("bridge.py", BRIDGE_EVENTS="2")[0] == 0
    assert (allocation.handled(), feed.acknowledged) == ([1, 2], {1: 1, 2: 1})


def test_without_a_handler_nothing_is_acknowledged(allocation: Allocation, feed: Feed) -> None:
    code, _, err = allocation.run("bridge.py", BRIDGE_ATTEMPTS="2")
    assert code == 1
    assert err.startswith("webhook-bridge: could not hand over 1: URLError")
    assert (feed.acknowledged, allocation.cursor()) == ({}, 0)


def test_it_asks_for_no_more_than_now_and_then(tmp_path: Path) -> None:
    with Feed(lambda *_: (200, '{"events": []}')) as feed:
        allocation = Allocation(tmp_path, free_port(), feed)
        resting = allocation.start("bridge.py", BRIDGE_INTERVAL="60")
        feed.wait_for(lambda f: len(f.asked) == 1)
        resting.terminate()
        resting.communicate(timeout=5)
        assert (resting.returncode, len(feed.asked)) == (143, 1)


def test_a_token_is_read_for_each_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")

    def renew(method: str, _: str) -> None:
        if method == "GET":
            token.write_text("two\n")

    with Feed(renew) as feed:
        allocation = Allocation(tmp_path, free_port(), feed)
        with allocation.handler():
            assert allocation.run("bridge.py", BRIDGE_EVENTS="1", BRIDGE_TOKEN_FILE=str(token))[0] == 0
    assert [asked.headers["authorization"] for asked in feed.asked] == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize("text", ["", "{}", '{"after": "x", "passed": 1}', "[]"])
def test_a_cursor_that_cannot_be_read_is_no_beginning(allocation: Allocation, feed: Feed, text: str) -> None:
    folder = allocation.folder / "data/bridge"
    folder.mkdir(parents=True)
    (folder / "cursor.json").write_text(text)
    code, _, err = allocation.run("bridge.py")
    assert (code, feed.asked) == (2, [])
    assert "does not hold a position" in err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"BRIDGE_FEED_URL": ""}, "BRIDGE_FEED_URL is not set"),
        ({"BRIDGE_FEED_URL": "file:///etc/passwd"}, "BRIDGE_FEED_URL is not an http or https URL"),
        ({"HTTPS_PROXY": ""}, "HTTPS_PROXY is not set"),
        ({"HTTP_PROXY": ""}, "HTTP_PROXY is not set"),
        ({"BRIDGE_EVENTS": "some"}, "some"),
    ],
)
def test_a_wrong_setting_is_said(
    allocation: Allocation, feed: Feed, settings: dict[str, str], said: str
) -> None:
    code, _, err = allocation.run("bridge.py", **settings)
    assert (code, feed.asked) == (2, [])
    assert err.startswith("webhook-bridge: ")
    assert said in err


def _post(port: int, content: str, key: str | None = "1", path: str = "/events") -> httpx.Response:
    headers = {"Idempotency-Key": key} if key is not None else {}
    return httpx.post(f"http://127.0.0.1:{port}{path}", content=content, headers=headers, trust_env=False)


def test_the_handler_knows_what_it_has_done(allocation: Allocation) -> None:
    for duplicate in (False, True):
        with allocation.handler() as process:
            answer = _post(allocation.port, '{"id": 1}')
            assert answer.json() == {"handled": "1", "duplicate": duplicate}
            process.terminate()
            assert process.wait(5) == 0
    assert allocation.handled() == [1]


@pytest.mark.parametrize(
    ("content", "key", "path"),
    [
        ('{"id": 1}', None, "/events"),
        ('{"id": 1}', "", "/events"),
        ('{"id": 1}', "1", "/other"),
        ("[1]", "1", "/events"),
        ("{", "1", "/events"),
        ("", "1", "/events"),
        ('"%s"' % ("x" * (1 << 20)), "1", "/events"),
    ],
)
def test_the_handler_takes_only_events(
    allocation: Allocation, content: str, key: str | None, path: str
) -> None:
    with allocation.handler():
        try:
            assert _post(allocation.port, content, key, path).status_code == 400
        except httpx.WriteError:
            # It has answered and hung up on one that is too long.
            assert len(content) > 1 << 20
        assert _post(allocation.port, '{"id": 2}', "2").status_code == 200
    assert allocation.handled() == [2]


def test_an_event_that_cannot_be_handled_is_not_noted(tmp_path: Path, feed: Feed) -> None:
    own = tmp_path / "programs"
    shutil.copytree(EXAMPLE, own, ignore=shutil.ignore_patterns("__pycache__"))
    program = own / "handler.py"
    insert = '    database.execute("INSERT INTO inbox (event) VALUES (?)", [json.dumps(event)])\n'
    text = program.read_text(encoding="utf-8")
    assert text.count(insert) == 1
    unless = '    if not Path(__file__).with_name("ready").exists():\n        raise ValueError("not now")\n'
    program.write_text(text.replace(insert, insert + unless), encoding="utf-8")
    allocation = Allocation(tmp_path, free_port(), feed, own)
    with allocation.handler():
        assert _post(allocation.port, '{"id": 1}').status_code == 503
        assert allocation.handled() == []
        (own / "ready").touch()
        assert _post(allocation.port, '{"id": 1}').json() == {"handled": "1", "duplicate": False}
    assert allocation.handled() == [1]


def test_the_handler_listens_on_loopback_alone(allocation: Allocation) -> None:
    """The same port on another address of this machine is free, and stays so for others."""
    with allocation.handler(), socket.socket() as other:
        other.bind(("127.0.0.2", allocation.port))
        with socket.socket() as same, pytest.raises(OSError, match="in use"):
            same.bind(("127.0.0.1", allocation.port))


def test_the_handler_wants_a_port(allocation: Allocation) -> None:
    code, _, err = allocation.run("handler.py", HANDLER_PORT="")
    assert (code, err) == (2, "webhook-handler: HANDLER_PORT is not set, or no number\n")
