"""The example's worker against a real server: what it sends, prints, tolerates and returns."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.toolkit.echo import Asked, Echo
from tests.toolkit.programs import REPOSITORY
from tests.toolkit.tailnet import free_port

WORKER = REPOSITORY / "examples/egress-worker/worker.py"


def _start(**settings: str) -> subprocess.Popen[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "NOMAD_SHORT_ALLOC_ID": "0a1b2c3d",
        "WORKER_INTERVAL": "0",
        **settings,
    }
    return subprocess.Popen(
        [sys.executable, "-u", WORKER],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(**settings: str) -> tuple[int, list[dict[str, Any]], str]:
    process = _start(**settings)
    out, err = process.communicate(timeout=30)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


def test_asks_in_turn_and_names_itself() -> None:
    with Echo() as echo:
        one, two = f"http://127.0.0.1:{echo.port}/one", f"http://127.0.0.1:{echo.port}/v6"
        code, lines, err = _run(WORKER_URLS=f"{one}, {two}", WORKER_REQUESTS="3")
    assert (code, err) == (0, "")
    assert [line["address"] for line in lines] == ["127.0.0.1", "2001:db8::20", "127.0.0.1"]
    assert [line["url"] for line in lines] == [one, two, one]
    assert {line["status"] for line in lines} == {200}
    assert echo.asked == [
        Asked(path, "egress-worker/0a1b2c3d", f"0a1b2c3d-{n}")
        for n, path in enumerate(["/one", "/v6", "/one"], 1)
    ]


def test_goes_through_its_proxy_and_nothing_bypasses() -> None:
    with Echo() as proxy:
        code, lines, _ = _run(
            WORKER_URLS="http://127.0.0.1:1/",
            WORKER_REQUESTS="1",
            http_proxy=f"http://127.0.0.1:{proxy.port}",
            no_proxy="",
            NO_PROXY="",
        )
    assert code == 0
    assert lines[0]["address"] == "127.0.0.1"
    assert [asked.target for asked in proxy.asked] == ["http://127.0.0.1:1/"]


def test_a_lone_failure_is_tolerated() -> None:
    with Echo() as echo:
        good = f"http://127.0.0.1:{echo.port}"
        urls = [f"{good}/a", f"{good}/a", f"{good}/hang"]
        settings = {"WORKER_URLS": ",".join(urls), "WORKER_REQUESTS": "3", "WORKER_TIMEOUT": "0.5"}
        code, lines, err = _run(**settings)
        assert (code, err) == (1, f"egress-worker: no answer at all from {good}/hang\n")
        assert "time" in lines[2]["error"].lower()
    with Echo() as echo:
        code, _, err = _run(
            WORKER_URLS=f"http://127.0.0.1:{echo.port}/,http://127.0.0.1:{free_port()}/",
            WORKER_REQUESTS="6",
            WORKER_TIMEOUT="1",
        )
    assert (code, err) == (1, "egress-worker: 3 of 6 requests failed, 2 are tolerated\n")


@pytest.mark.parametrize("page", ["html", "error"])
def test_an_answer_that_is_no_address_is_a_failure(page: str) -> None:
    with Echo() as echo:
        code, lines, _ = _run(WORKER_URLS=f"http://127.0.0.1:{echo.port}/{page}", WORKER_REQUESTS="1")
    assert code == 1
    assert lines[0]["address"] is None
    assert lines[0]["error"]


def test_ends_when_it_is_told_to() -> None:
    with Echo() as echo:
        process = _start(
            WORKER_URLS=f"http://127.0.0.1:{echo.port}/", WORKER_REQUESTS="100", WORKER_INTERVAL="60"
        )
        assert process.stdout
        assert json.loads(process.stdout.readline())["status"] == 200
        process.terminate()
        process.communicate(timeout=5)
    assert process.returncode == 143


@pytest.mark.parametrize("settings", [{}, {"WORKER_URLS": "http://a/", "WORKER_REQUESTS": "many"}])
def test_a_wrong_setting_is_said(settings: dict[str, str]) -> None:
    code, _, err = _run(**settings)
    assert code == 2
    assert err.startswith("egress-worker: ")
