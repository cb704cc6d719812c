"""One launch of the scheduled batch on a small internet of real servers: what it keeps and hands in."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.modules.site import Page, Site
from tests.toolkit.programs import REPOSITORY

BATCH = REPOSITORY / "examples/scheduled-batch-egress/batch.py"
ONE, TWO = "https://exports.test/one.csv", "https://exports.test/two.csv"
RESULTS = "https://results.test/in"
CSV = "day,sum\n1,2\n"


def _start(site: Site, folder: Path, **settings: str) -> subprocess.Popen[str]:
    authority = folder / "ca.pem"
    site.ca.cert_pem.write_to_path(authority)
    proxy = f"http://127.0.0.1:{site.port}"
    environment = {
        "PATH": os.environ["PATH"],
        "SSL_CERT_FILE": str(authority),
        "NOMAD_ALLOC_DIR": str(folder / "alloc"),
        "NOMAD_SHORT_ALLOC_ID": "0a1b2c3d",
        "NOMAD_JOB_ID": "scheduled-batch-egress/periodic-1795462504",
        "HTTPS_PROXY": proxy,
        "https_proxy": proxy,
        "NO_PROXY": "",
        "no_proxy": "",
        "BATCH_EXPORTS": ONE,
        "BATCH_PAUSE": "0",
        "BATCH_INTERVAL": "0",
        **settings,
    }
    return subprocess.Popen(
        [sys.executable, "-u", BATCH],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(site: Site, folder: Path, **settings: str) -> tuple[int, list[dict[str, Any]], str]:
    process = _start(site, folder, **settings)
    out, err = process.communicate(timeout=30)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


def _kept(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (folder / "alloc/data").iterdir()}


def test_exports_are_kept_and_the_result_is_handed_in(tmp_path: Path) -> None:
    pages = {ONE: Page(CSV), TWO: Page(CSV * 2), RESULTS: Page(status=201)}
    with Site(pages) as site:
        code, lines, err = _run(
            site, tmp_path, BATCH_EXPORTS=f"{ONE}, {TWO}", BATCH_RESULT_URL=RESULTS, BATCH_CONTAINS="day"
        )
    assert (code, err) == (0, "")
    *exports, result = lines
    assert result == {"launch": "periodic-1795462504", "allocation": "0a1b2c3d", "exports": exports}
    kept = _kept(tmp_path)
    assert kept.keys() == {"export-1", "export-2", "result.json"}
    assert json.loads(kept["result.json"]) == result
    for export, content in zip(exports, (CSV, CSV * 2), strict=True):
        assert kept[export["file"]] == content.encode()
        assert export["sha256"] == hashlib.sha256(content.encode()).hexdigest()
    posted = site.asked[-1]
    assert (posted.method, posted.url, json.loads(posted.body)) == ("POST", RESULTS, result)
    assert posted.headers["idempotency-key"] == "periodic-1795462504"
    assert {asked.headers["user-agent"] for asked in site.asked} == {"scheduled-batch-egress/0a1b2c3d"}
    assert [asked.headers["x-request-token"] for asked in site.asked] == [f"0a1b2c3d-{n}" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("page", "settings", "reason"),
    [
        (Page(" \n"), {}, "the export is empty"),
        (Page(CSV), {"BATCH_CONTAINS": "week"}, "the export does not contain what each must"),
        (Page(CSV), {"BATCH_SIZE_LIMIT": "5"}, "longer than 5 bytes"),
        (Page(status=404), {}, "status 404"),
    ],
)
def test_an_export_that_is_not_whole_is_neither_kept_nor_handed_in(
    tmp_path: Path, page: Page, settings: dict[str, str], reason: str
) -> None:
    with Site({ONE: page, RESULTS: Page()}) as site:
        code, lines, err = _run(site, tmp_path, BATCH_RESULT_URL=RESULTS, **settings)
    assert (code, err) == (1, f"scheduled-batch-egress: {ONE}: {reason}\n")
    assert (lines[0]["file"], lines[0]["attempts"]) == (None, 1)
    assert _kept(tmp_path).keys() == {"result.json"}
    assert site.urls() == [ONE]


def test_an_export_that_breaks_off_is_fetched_again(tmp_path: Path) -> None:
    with Site({ONE: [Page(CSV, cut_short=True), Page(CSV)]}) as site:
        code, lines, _ = _run(site, tmp_path)
    assert (code, lines[0]["attempts"], _kept(tmp_path)["export-1"]) == (0, 2, CSV.encode())


def test_a_result_that_is_sent_twice_can_be_known(tmp_path: Path) -> None:
    with Site({ONE: Page(CSV), RESULTS: [Page(status=503), Page()]}) as site:
        code, _, _ = _run(site, tmp_path, BATCH_RESULT_URL=RESULTS)
        again, _, _ = _run(site, tmp_path, BATCH_RESULT_URL=RESULTS)
    posted = [asked for asked in site.asked if asked.method == "POST"]
    assert (code, again, len(posted)) == (0, 0, 3)
    assert {asked.headers["idempotency-key"] for asked in posted} == {"periodic-1795462504"}


def test_a_result_that_nobody_takes_is_a_failure(tmp_path: Path) -> None:
    with Site({ONE: Page(CSV), RESULTS: Page(status=503)}) as site:
        code, _, err = _run(site, tmp_path, BATCH_RESULT_URL=RESULTS, BATCH_ATTEMPTS="2")
    assert (code, err) == (1, f"scheduled-batch-egress: {RESULTS}: status 503\n")
    assert site.urls() == [ONE, RESULTS, RESULTS]


def test_what_stood_there_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    with Site({ONE: [Page(CSV), Page(status=404)]}) as site:
        assert _run(site, tmp_path)[0] == 0
        assert _run(site, tmp_path)[0] == 1
    assert _kept(tmp_path)["export-1"] == CSV.encode()


def test_ends_when_it_is_told_to(tmp_path: Path) -> None:
    with Site({ONE: Page(status=503)}) as site:
        process = _start(site, tmp_path, BATCH_PAUSE="60")
        assert site.came.wait(10)
        process.terminate()
        out, _ = process.communicate(timeout=5)
    assert (process.returncode, out) == (143, "")
    assert not (tmp_path / "alloc").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"BATCH_EXPORTS": " "}, "BATCH_EXPORTS is not set"), ({"BATCH_TIMEOUT": "soon"}, "soon")],
)
def test_a_wrong_setting_is_said(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    with Site({ONE: Page(CSV)}) as site:
        code, _, err = _run(site, tmp_path, **settings)
    assert (code, site.tunnels) == (2, [])
    assert err.startswith("scheduled-batch-egress: ")
    assert said in err
