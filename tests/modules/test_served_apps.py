"""The programs of the serve examples, each as its own process on loopback, as its job starts it."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.toolkit.programs import REPOSITORY
from tests.toolkit.tailnet import eventually, free_port

EXAMPLES = REPOSITORY / "examples"
LOOPBACK = EXAMPLES / "private-http-service/loopback.py"
WEB = EXAMPLES / "private-http-service/web.py"
API = EXAMPLES / "private-api-service/api.py"
SWITCH = EXAMPLES / "private-service-acl/switch.py"
USER = {"Tailscale-User-Login": "platform@example.com"}


class App:
    """Owns a program that runs beside loopback.py, as in a task's folder."""

    def __init__(self, program: Path, folder: Path, **settings: str) -> None:
        """Choose the program, its folder and its settings."""
        self._settings = settings
        self.port = free_port()
        self._program = folder / program.name
        for file in (program, LOOPBACK):
            shutil.copy(file, folder)

    def __enter__(self) -> Self:
        self.popen = subprocess.Popen(
            [sys.executable, self._program],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONDONTWRITEBYTECODE": "1",
                "LISTEN_PORT": str(self.port),
                **self._settings,
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        eventually(self._well, seconds=10, what="it answers /healthz")
        return self

    def _well(self) -> bool:
        try:
            return self.ask("GET", "/healthz") == (200, "ok\n")
        except OSError:
            return False

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
        """One request: the status, and the body as text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def json(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """One request of JSON."""
        status, text = self.ask(method, path, None if body is None else json.dumps(body), **headers)
        return status, json.loads(text)

    def end(self) -> tuple[int, str]:
        """Stop it as Nomad does: its exit code, and what it wrote."""
        self.popen.terminate()
        out, _ = self.popen.communicate(timeout=15)
        return self.popen.returncode, out

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.communicate()


def test_the_page_greets_whoever_serve_says_is_asking(tmp_path: Path) -> None:
    with App(WEB, tmp_path, WEB_TITLE="Ours & theirs") as web:
        assert "Hello, platform@example.com." in web.ask("GET", "/", **USER)[1]
        assert "Hello, whoever you are." in web.ask("GET", "/")[1]
        assert "<h1>Ours &amp; theirs</h1>" in web.ask("GET", "/")[1]
        _, page = web.ask("GET", "/", **{"Tailscale-User-Login": "<script>"})
        assert "<script>" not in page
        assert web.ask("HEAD", "/") == (200, "")
        assert web.ask("GET", "/other")[0] == 404
        assert web.ask("POST", "/", "x")[0] == 405


def test_it_writes_one_line_a_request_and_ends_well(tmp_path: Path) -> None:
    with App(WEB, tmp_path) as web:
        web.ask("GET", "/page?a=b", **USER)
        assert web.end() == (0, "platform@example.com GET /page?a=b 404\n")


def test_a_request_under_way_is_answered_before_the_end(tmp_path: Path) -> None:
    with App(API, tmp_path) as api:
        connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
        connection.putrequest("PUT", "/v1/items/late")
        connection.putheader("Content-Length", "2")
        connection.endheaders()
        # A second request is answered, so the first one is in its thread by now: they are accepted in turn.
        assert api.json("GET", "/v1/status")[0] == 200
        ended: list[tuple[int, str]] = []
        stopping = threading.Thread(target=lambda: ended.append(api.end()))
        stopping.start()
        eventually(lambda: not _accepts(api.port), seconds=10, what="it takes no more requests")
        connection.send(b"{}")
        assert connection.getresponse().status == 201
        connection.close()
        stopping.join(15)
        assert [code for code, _ in ended] == [0]


def _accepts(port: int) -> bool:
    """Whether a request is answered within a moment: the kernel takes connections for a little longer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.3)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.mark.parametrize("program", [WEB, API, SWITCH], ids=lambda program: program.stem)
def test_it_listens_on_loopback_alone_and_bounds_what_it_reads(tmp_path: Path, program: Path) -> None:
    with App(program, tmp_path) as app:
        wanted = f"{app.port:04X}"
        lines = [
            line.split()
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{table}").read_text().splitlines()
        ]
        found = {
            words[1].split(":")[0] for words in lines if words[1].endswith(f":{wanted}") and words[3] == "0A"
        }
        assert found == {"0100007F"}
        assert app.ask("POST", "/", None, **{"Content-Length": "9999999"})[0] == 413
        assert app.ask("POST", "/", None, **{"Content-Length": "-1"})[0] == 413


def test_without_a_port_it_says_so(tmp_path: Path) -> None:
    for file in (WEB, LOOPBACK):
        shutil.copy(file, tmp_path)
    done = subprocess.run(
        [sys.executable, tmp_path / WEB.name],
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "LISTEN_PORT is not set, or no port, and LISTEN_SOCKET is not set\n",
    )


def test_the_api_keeps_items_and_who_changed_them(tmp_path: Path) -> None:
    with App(API, tmp_path, API_ITEMS="rack-1, rack-2") as api:
        assert api.json("GET", "/v1/items") == (
            200,
            {"items": {"rack-1": {"changed_by": ""}, "rack-2": {"changed_by": ""}}},
        )
        item = {"height": 42, "changed_by": "platform@example.com"}
        forged = {"height": 42, "changed_by": "somebody else"}
        assert api.json("PUT", "/v1/items/rack-3", forged, **USER) == (201, item)
        assert api.json("PUT", "/v1/items/rack-3", forged, **USER) == (200, item)
        assert api.json("GET", "/v1/items/rack-3") == (200, item)
        assert api.json("DELETE", "/v1/items/rack-3") == (200, item)
        assert api.json("GET", "/v1/items/rack-3") == (404, {"error": "there is no item rack-3"})
        assert api.json("GET", "/v1/status") == (200, {"answered": 7, "items": 2})


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/v1/items/x", "{", 400),
        ("PUT", "/v1/items/x", "[]", 400),
        ("PUT", "/v1/items/X%2F..", "{}", 400),
        ("POST", "/v1/items", "{}", 405),
        ("POST", "/v1/items/rack-1", "{}", 405),
        ("DELETE", "/v1/items/x", None, 404),
        ("GET", "/v2/items", None, 404),
        ("GET", "/", None, 404),
    ],
)
def test_the_api_says_in_json_what_is_wrong(
    tmp_path: Path, method: str, path: str, body: str | None, status: int
) -> None:
    with App(API, tmp_path, API_ITEMS="rack-1") as api:
        found, text = api.ask(method, path, body)
    assert found == status
    assert set(json.loads(text)) == {"error"}


def test_the_switch_is_turned_by_those_who_may_and_remembers_them(tmp_path: Path) -> None:
    with App(SWITCH, tmp_path, SWITCH_USERS="platform@example.com, other@example.com") as switch:
        assert switch.json("GET", "/") == (200, {"maintenance": False, "log": []})
        stranger = {"Tailscale-User-Login": "guest@example.com"}
        assert switch.json("POST", "/", {"maintenance": True}, **stranger)[0] == 403
        assert switch.json("POST", "/", {"maintenance": True})[0] == 403
        assert switch.json("GET", "/")[1]["maintenance"] is False
        assert switch.json("POST", "/", {"maintenance": True}, **USER) == (200, {"maintenance": True})
        _, state = switch.json("GET", "/", **stranger)
        assert state["maintenance"] is True
        assert [(turn["by"], turn["maintenance"]) for turn in state["log"]] == [
            ("platform@example.com", True)
        ]
        for wrong in ('{"maintenance": "yes"}', "[]", "{", "{}"):
            assert switch.ask("POST", "/", wrong, **USER)[0] == 400
        assert switch.ask("PUT", "/", "{}", **USER)[0] == 405
        assert switch.ask("GET", "/other")[0] == 404


def test_nobody_may_turn_a_switch_without_users(tmp_path: Path) -> None:
    with App(SWITCH, tmp_path) as switch:
        assert switch.json("POST", "/", {"maintenance": True}, **{"Tailscale-User-Login": ""})[0] == 403
