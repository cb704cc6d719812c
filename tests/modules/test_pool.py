"""The pool's worker on a small internet of real servers: who does what, and what becomes of failures."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.modules.site import Page, Site
from tests.toolkit.programs import REPOSITORY

WORKER = REPOSITORY / "examples/multi-worker-pool/worker.py"


def _start(site: Site, folder: Path, **settings: str) -> subprocess.Popen[str]:
    authority = folder / "ca.pem"
    site.ca.cert_pem.write_to_path(authority)
    proxy = f"http://127.0.0.1:{site.port}"
    environment = {
        "PATH": os.environ["PATH"],
        "SSL_CERT_FILE": str(authority),
        "NOMAD_SHORT_ALLOC_ID": "0a1b2c3d",
        "HTTPS_PROXY": proxy,
        "https_proxy": proxy,
        "NO_PROXY": "",
        "no_proxy": "",
        "POOL_PAUSE": "0",
        "POOL_INTERVAL": "0",
        **settings,
    }
    return subprocess.Popen(
        [sys.executable, "-u", WORKER],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(site: Site, folder: Path, **settings: str) -> tuple[int, list[dict[str, Any]], str]:
    process = _start(site, folder, **settings)
    out, err = process.communicate(timeout=30)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


@pytest.mark.parametrize(("size", "items"), [(1, 4), (3, 9), (3, 7), (4, 2)])
def test_every_item_is_done_by_one_worker(tmp_path: Path, size: int, items: int) -> None:
    urls = [f"https://site.test/{n}" for n in range(items)]
    done = []
    with Site({url: Page("x") for url in urls}) as site:
        for index in range(size):
            code, lines, err = _run(
                site,
                tmp_path,
                POOL_URLS=", ".join(urls),
                POOL_SIZE=str(size),
                NOMAD_ALLOC_INDEX=str(index),
                NOMAD_SHORT_ALLOC_ID=f"worker-{index}",
            )
            assert (code, err) == (0, "")
            assert {line["index"] for line in lines} <= {index}
            done.append([line["url"] for line in lines])
        assert sorted(site.urls()) == sorted(urls)
    assert sorted(url for part in done for url in part) == sorted(urls)
    assert max(map(len, done)) - min(map(len, done)) <= 1
    assert {asked.headers["user-agent"] for asked in site.asked} == {
        f"multi-worker-pool/worker-{index}" for index, part in enumerate(done) if part
    }
    assert len({asked.headers["x-request-token"] for asked in site.asked}) == items


def test_what_fails_in_passing_is_tried_again(tmp_path: Path) -> None:
    url = "https://site.test/"
    with Site({url: [Page(status=503), Page(status=500), Page("xyz")]}) as site:
        code, (line,), _ = _run(site, tmp_path, POOL_URLS=url)
    assert (code, line["attempts"], line["status"], line["size"]) == (0, 3, 200, 3)
    assert [asked.headers["x-request-token"] for asked in site.asked] == [f"0a1b2c3d-{n}" for n in (1, 2, 3)]


@pytest.mark.parametrize(("status", "attempts"), [(404, 1), (503, 3)])
def test_a_failure_is_said_and_the_rest_is_done(tmp_path: Path, status: int, attempts: int) -> None:
    bad, good = "https://site.test/bad", "https://site.test/good"
    with Site({bad: Page(status=status), good: Page("x")}) as site:
        code, lines, err = _run(site, tmp_path, POOL_URLS=f"{bad},{good}")
    assert code == 1
    assert [(line["url"], line["attempts"], line["status"]) for line in lines] == [
        (bad, attempts, status),
        (good, 1, 200),
    ]
    assert err.startswith(f"multi-worker-pool: {bad}: HTTP Error {status}")


def test_without_its_proxy_nothing_is_reached(tmp_path: Path) -> None:
    url = "https://site.test/"
    with Site({url: Page("x")}) as site:
        code, (line,), _ = _run(site, tmp_path, POOL_URLS=url, HTTPS_PROXY="", https_proxy="")
    assert (code, line["status"], site.tunnels) == (1, None, [])


def test_ends_when_it_is_told_to(tmp_path: Path) -> None:
    urls = [f"https://site.test/{n}" for n in range(2)]
    with Site({url: Page(status=503) for url in urls}) as site:
        process = _start(site, tmp_path, POOL_URLS=",".join(urls), POOL_PAUSE="60")
        assert site.came.wait(10)
        process.terminate()
        out, _ = process.communicate(timeout=5)
    assert (process.returncode, out, site.urls()) == (143, "", urls[:1])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "POOL_URLS is not set"),
        ({"POOL_URLS": "https://a.test/", "POOL_SIZE": "many"}, "many"),
        (
            {"POOL_URLS": "https://a.test/", "POOL_SIZE": "2", "NOMAD_ALLOC_INDEX": "2"},
            "place 2 is not in a pool of 2: POOL_SIZE must be the group's count",
        ),
    ],
)
def test_a_wrong_setting_is_said(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    with Site({"https://a.test/": Page("x")}) as site:
        code, _, err = _run(site, tmp_path, **settings)
    assert (code, site.tunnels) == (2, [])
    assert err.startswith("multi-worker-pool: ")
    assert said in err
