"""The client of the observer, against the real one over loopback: what it saw, or why that is not known."""

import contextlib
import json
import re
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
import trustme

from harness.errors import LabError, UsageError
from harness.live.observer import ObserverClient
from tests.observer.programs import TOKEN, Running, observer

HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"], ids=["IPv4", "IPv6"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with observer(tmp_path_factory.mktemp("observer")) as started:
        yield started


@pytest.fixture
def client(running: Running) -> Iterator[ObserverClient]:
    with ObserverClient(running.url(), TOKEN, verify=running.trust) as made:
        yield made


def come(running: Running, token: str, scheme: str = "http", host: str = "127.0.0.1", path: str = "/") -> str:
    answer = httpx.get(
        running.url(scheme, host, path), params={"token": token}, verify=running.trust, trust_env=False
    )
    return answer.text


@HOSTS
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_who_came_since_a_mark_is_seen(
    running: Running, client: ObserverClient, scheme: str, host: str
) -> None:
    come(running, "before")
    mark = client.mark()
    assert come(running, "t-1", scheme, host) == f"{host}\n"
    (line,) = client.since(mark)
    assert (line.request.protocol, line.request.peer, line.request.token) == (scheme, host, "t-1")
    assert line.number > mark
    assert not line.lied_to
    assert abs(line.at - time.time()) < 60


def test_what_others_asked_stays_with_them(running: Running, client: ObserverClient) -> None:
    mark = client.mark()
    for token in ("run-7-a", "other", "run-7-b"):
        come(running, token)
    come(running, "", path="/run-7/page")
    assert [line.request.token for line in client.since(mark, "run-7")] == ["run-7-a", "run-7-b", ""]
    assert client.since(mark, "nobody") == []
    assert len(client.since(mark)) == 4


def test_marks_of_others_are_nobodys_requests(running: Running, client: ObserverClient) -> None:
    mark = client.mark()
    with ObserverClient(running.url("http"), TOKEN) as other:
        other.mark()
        other.since(other.mark())
    assert client.since(mark) == []


def test_a_lie_shows(running: Running, client: ObserverClient) -> None:
    mark = client.mark()
    assert come(running, "lied", path="/lie/203.0.113.66") == "203.0.113.66\n"
    (line,) = client.since(mark)
    assert (line.told, line.request.peer, line.lied_to) == ("203.0.113.66", "127.0.0.1", True)


def test_a_book_of_many_pages_is_read_whole(running: Running, client: ObserverClient) -> None:
    mark = client.mark()
    with httpx.Client(base_url=running.url("http"), trust_env=False) as caller:
        for number in range(1500):
            caller.get("/", params={"token": f"many-{number}"}, headers={"User-Agent": "x" * 600})
    assert [line.request.token for line in client.since(mark)] == [f"many-{n}" for n in range(1500)]


def test_what_it_says_of_itself(running: Running, client: ObserverClient) -> None:
    about = client.about()
    assert about.protocols == running.ports
    assert about.caller == "127.0.0.1"
    assert abs(about.ahead) < 5  # the same clock
    assert re.fullmatch(r"\d+\.\d+\.\d+", about.version)


@contextlib.contextmanager
def listener(host: str) -> Iterator[int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as held:
        yield held.getsockname()[1]


@HOSTS
def test_open_and_closed_ports_are_told_apart(client: ObserverClient, host: str) -> None:
    with listener(host) as port:
        (open_,) = client.probe([(host, port)], 2)
    (closed,) = client.probe([(host, port)], 2)
    assert (open_.address, open_.port, open_.connected, open_.error) == (host, port, True, "")
    assert (closed.connected, closed.error) == (False, "ECONNREFUSED")


def test_a_port_that_does_not_answer_is_given_up(client: ObserverClient) -> None:
    # A queue of one that is full: the kernel lets the next ones wait.
    with socket.socket() as full, contextlib.ExitStack() as held:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        (result,) = client.probe([full.getsockname()], 0.5)
    assert (result.connected, result.error) == (False, "timed out")
    assert 0.4 < result.seconds < 5


def test_more_targets_than_one_order_takes(client: ObserverClient) -> None:
    with listener("127.0.0.1") as port:
        targets = [("127.0.0.1", port), *[("127.0.0.1", 1)] * 2300, ("127.0.0.1", port)]
        results = client.probe(targets, 5)
    assert [r.connected for r in results] == [True, *[False] * 2300, True]


def test_nothing_to_probe(client: ObserverClient) -> None:
    assert client.probe([]) == []


@pytest.mark.parametrize(("targets", "seconds"), [([("127.0.0.1", 0)], 1), ([("127.0.0.1", 80)], 11)])
def test_an_order_that_is_none_is_refused(
    client: ObserverClient, targets: list[tuple[str, int]], seconds: float
) -> None:
    client.about()
    with pytest.raises(LabError, match="400: no order for a probe"):
        client.probe(targets, seconds)


# --- settings that are wrong


@dataclass(frozen=True)
class Setting:
    """What a person may have set, and what is said of it."""

    named: str
    said: str
    url: Callable[[Running], str] = lambda running: running.url()
    token: str = TOKEN
    verify: Callable[[Running], ssl.SSLContext | str | bool] = lambda running: running.trust


def closed_port(_: Running) -> str:
    with listener("127.0.0.1") as port:
        return f"http://127.0.0.1:{port}"


def by_localhost(running: Running) -> str:
    return f"https://localhost:{running.ports['https']}"


WRONG = {
    "token": Setting("OBSERVER_TOKEN", "knows another token", token=TOKEN.upper()),
    "half a token": Setting("OBSERVER_TOKEN", "knows another token", token=TOKEN[:-1]),
    "no token": Setting("OBSERVER_TOKEN", "empty", token=""),
    "token with a line end": Setting("OBSERVER_TOKEN", "characters", token=f"{TOKEN}\nX-A: b"),
    "token that is no ASCII": Setting("OBSERVER_TOKEN", "characters", token=f"{TOKEN}\N{SNOWMAN}"),
    "CA": Setting("OBSERVER_CACERT", "is not trusted: unable to get local issuer", verify=lambda _: True),
    "CA that is no file": Setting("OBSERVER_CACERT", "No such file", verify=lambda r: f"{r.folder}/none.pem"),
    "CA that is none": Setting("OBSERVER_CACERT", "no certificate", verify=lambda r: f"{r.folder}/token"),
    "other host": Setting("OBSERVER_URL", "certificate at .* is of another host", url=by_localhost),
    "closed port": Setting("OBSERVER_URL", "cannot be reached: .*refused", url=closed_port),
    "unknown name": Setting("OBSERVER_URL", "cannot be reached", url=lambda _: "http://observer.invalid"),
    "no TLS there": Setting(
        "OBSERVER_URL", "cannot be reached", url=lambda r: r.url("http").replace("http:", "https:")
    ),
    "TLS there": Setting(
        "OBSERVER_URL",
        "cannot be reached: .*(disconnected|reset)",
        url=lambda r: r.url().replace("https:", "http:"),
    ),
    "no URL": Setting("OBSERVER_URL", "no observer's address", url=lambda _: ""),
    "no scheme": Setting("OBSERVER_URL", "no observer's address", url=lambda _: "observer.example.com:80"),
    "other scheme": Setting("OBSERVER_URL", "no observer's address", url=lambda _: "ftp://example.com"),
    "no port": Setting("OBSERVER_URL", "[Pp]ort", url=lambda _: "http://example.com:x"),
    "a path": Setting("OBSERVER_URL", "has no path", url=lambda r: r.url(path="/observer")),
    "a name and password": Setting("OBSERVER_URL", "no observer's", url=lambda _: "http://a:b@example.com"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_setting_is_named_in_one_line_and_in_time(running: Running, wrong: Setting) -> None:
    began = time.monotonic()
    with (
        pytest.raises(UsageError, match=wrong.said) as caught,
        ObserverClient(wrong.url(running), wrong.token, verify=wrong.verify(running)) as client,
    ):
        client.about()
    assert time.monotonic() - began < 5
    assert caught.value.problem.startswith(f"{wrong.named}: ")
    assert "\n" not in caught.value.problem
    assert not shows(caught.value, wrong.token)


def shows(error: BaseException, token: str) -> bool:
    """Whether an error, or one behind it, has a token in what it says or is."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    told = "".join(traceback.format_exception(error)) + "".join(f"{c!r} {vars(c)!r}" for c in causes)
    return bool(token) and (token in told or repr(token)[1:-1] in told)


def test_that_search_for_a_token_sees_one() -> None:
    assert shows(LabError(f"told {TOKEN}"), TOKEN)
    assert not shows(LabError("told nothing"), TOKEN)


def test_an_address_that_takes_no_connection_is_given_up_in_time() -> None:
    with socket.socket() as full, contextlib.ExitStack() as held:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        began = time.monotonic()
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        with pytest.raises(UsageError, match=r"OBSERVER_URL: .* no connection in 3 s"):
            ObserverClient(url, TOKEN).about()
        assert time.monotonic() - began < 5


def test_the_ca_by_its_file(running: Running, tmp_path: Path) -> None:
    running.authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with ObserverClient(running.url(), TOKEN, verify=str(tmp_path / "ca.pem")) as client:
        assert client.since(client.mark()) == []


def test_another_ca(running: Running) -> None:
    other = ssl.create_default_context()
    trustme.CA().configure_trust(other)
    with pytest.raises(UsageError, match=r"^OBSERVER_CACERT: "):
        ObserverClient(running.url(), TOKEN, verify=other).about()


def test_the_token_is_in_no_repr(client: ObserverClient) -> None:
    client.about()
    assert TOKEN not in repr(client)
    assert TOKEN not in repr(vars(client))


def test_an_observer_without_a_token(tmp_path: Path) -> None:
    with (
        observer(tmp_path, token=None) as running,
        ObserverClient(running.url(), TOKEN, verify=running.trust) as client,
        pytest.raises(UsageError, match="OBSERVER_URL: no book is to be had"),
    ):
        client.about()


def test_a_proxy_before_it_is_found_out(running: Running, client: ObserverClient) -> None:
    client._link._http.headers["X-Forwarded-For"] = "198.51.100.7"
    with pytest.raises(UsageError, match=r"OBSERVER_URL: a proxy stands before .*X-Forwarded-For"):
        client.about()
    assert come(running, "forwarded") == "127.0.0.1\n"


@pytest.mark.parametrize(
    ("reached", "caller", "found_out"),
    [
        ("8.8.8.8", "172.17.0.1", True),
        ("8.8.8.8", "1.1.1.1", False),
        ("198.18.80.80", "198.18.0.9", False),
        ("127.0.0.1", "172.17.0.1", False),
    ],
)
def test_an_engine_that_hides_who_comes_is_found_out(
    client: ObserverClient, monkeypatch: pytest.MonkeyPatch, reached: str, caller: str, found_out: bool
) -> None:
    real = client.about()
    answer = {
        "version": real.version, "addresses": [], "protocols": {}, "you": caller, "now": 0.0, "newest": 1,
        "forwarded": [], "book": client._book,
    }  # fmt: skip

    def ask(*_: object, **__: object) -> dict[str, object]:
        client._link.reached = reached
        return answer

    monkeypatch.setattr(client._link, "ask", ask)
    if found_out:
        with pytest.raises(UsageError, match=r"sees us as 172\.17\.0\.1"):
            client.about()
    else:
        assert client.about().caller == caller


# --- an observer that fails in the middle


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Running]:
    with observer(tmp_path, "--room", "0.1") as started:
        yield started


@pytest.fixture
def its_client(own: Running) -> Iterator[ObserverClient]:
    with ObserverClient(own.url(), TOKEN, verify=own.trust) as made:
        yield made


def test_one_that_died_is_an_error(own: Running, its_client: ObserverClient) -> None:
    mark = its_client.mark()
    own.end()
    for ask in (lambda: its_client.since(mark), its_client.mark, its_client.about):
        with pytest.raises(LabError, match="failed in the middle of the run"):
            ask()


def test_one_that_lost_lines_is_an_error(own: Running, its_client: ObserverClient) -> None:
    mark = its_client.mark()
    with httpx.Client(base_url=own.url("http"), trust_env=False) as caller:
        for number in range(200):
            caller.get("/", params={"token": f"{number}-{'x' * 500}"})
    for token in ("", "nobody"):
        with pytest.raises(LabError, match=r"no longer has \d+ lines of its book"):
            its_client.since(mark, token)
    # What came after it is whole again.
    assert its_client.since(its_client.mark()) == []


def test_one_that_began_anew_is_an_error(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    with observer(folders[0]) as first, observer(folders[1]) as second:
        for held in (first, second):
            come(held, "one")
        with ObserverClient(first.url(), TOKEN, verify=first.trust) as client:
            mark = client.mark()
            client._link._http = httpx.Client(
                base_url=second.url("http"), headers=client._link._http.headers, trust_env=False
            )
            with pytest.raises(LabError, match="started anew"):
                client.since(mark)
            # So it is where the other book is longer already.
            for _ in range(5):
                come(second, "more")
            with pytest.raises(LabError, match="started anew"):
                client.since(mark)


def test_one_that_turned_callers_away_is_an_error(tmp_path: Path) -> None:
    with (
        observer(tmp_path, "--of-one", "4") as running,
        ObserverClient(running.url(), TOKEN, verify=running.trust) as client,
    ):
        mark = client.mark()
        silent = [socket.create_connection(("127.0.0.1", running.ports["http"]), 5) for _ in range(5)]
        try:
            assert silent[-1].recv(1) == b""
        finally:
            for each in silent:
                each.close()
        with pytest.raises(LabError, match="turned 1 callers away"):
            client.since(mark, "nobody")
        assert client.since(client.mark()) == []


# --- an observer that is none, or not as it should be


@contextlib.contextmanager
def answering(answers: dict[str, object]) -> Iterator[str]:
    """A server that gives what it is told for each path, or 200 and `ok`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = answers.get(self.path.partition("?")[0], "ok")
            body = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - http.server's name

        def log_message(self, format: str, *arguments: object) -> None:
            del format, arguments

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("said", ["<html>hello</html>", "[]", "{}", '{"version": 1}'])
def test_another_program_at_that_address_is_named(said: str) -> None:
    with (
        answering({"/observer/about": said}) as url,
        ObserverClient(url, TOKEN) as client,
        pytest.raises(UsageError, match=r"OBSERVER_URL: .* another program"),
    ):
        client.about()


ABOUT = {
    "version": "1", "addresses": [], "protocols": {"http": 80}, "book": "b", "newest": 3, "now": 0.0,
    "you": "127.0.0.1", "forwarded": [],
}  # fmt: skip
LINE = {
    "at": 1.0, "protocol": "http", "peer": "127.0.0.1", "peer_port": 1, "local": "127.0.0.1", "token": "t",
    "agent": "", "target": "GET /", "told": "127.0.0.1",
}  # fmt: skip


def page(*numbers: int, **changes: object) -> dict[str, object]:
    lines = [{**LINE, "number": number} for number in numbers]
    last = max(numbers, default=3)
    return {
        "book": "b", "lines": lines, "last": last, "newest": last, "dropped": 0, "turned_away": 0, **changes
    }  # fmt: skip


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (page(4, 5), "no longer writes down what it sees"),  # the mark is missing
        (page(), "no longer writes down what it sees"),
        (page(4, 6), "leaves out lines"),
        (page(5), "leaves out lines"),
        (page(5, 4), "leaves out lines"),
        (page(4, 5, last=9, newest=9), "leaves out lines"),
        (page(newest=9), "leaves out lines"),  # and never gets on
        (page(4, dropped=1), "no longer has 1 lines"),
        (page(4, turned_away=2), "turned 2 callers away"),
        (page(4, book="c"), "started anew"),
        (page(4, lines=[{"number": 4}]), "cannot be read"),
        (page(4, lines="none"), "cannot be read"),
        (page(4, last=None), "cannot be read"),
        ({"book": "b"}, "cannot be read"),
    ],
)
def test_a_book_with_something_missing_is_an_error(told: dict[str, object], said: str) -> None:
    with (
        answering({"/observer/about": ABOUT, "/observer/book": told}) as url,
        ObserverClient(url, TOKEN) as client,
    ):
        client.about()
        with pytest.raises(LabError, match=said):
            client.since(3)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ([], "has not tried"),
        (
            [{"address": "127.0.0.1", "port": 2, "connected": True, "error": "", "seconds": 0}],
            "has not tried",
        ),
        ([{"address": "127.0.0.1"}], "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_probe_with_something_missing_is_an_error(targets: object, said: str) -> None:
    with (
        answering({"/observer/probe": {"targets": targets}}) as url,
        ObserverClient(url, TOKEN) as client,
        pytest.raises(LabError, match=said),
    ):
        client.probe([("127.0.0.1", 1)])


def test_callers_at_once_are_all_seen(running: Running, client: ObserverClient) -> None:
    mark = client.mark()
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda n: come(running, f"crowd-{n}", ("http", "https")[n % 2]), range(60)))
    assert {line.request.token for line in client.since(mark)} == {f"crowd-{n}" for n in range(60)}
