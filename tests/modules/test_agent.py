"""The example's agent on a small internet of real servers, which only its proxy knows the way to."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.modules.site import Page, Site
from tests.toolkit.programs import REPOSITORY

AGENT = REPOSITORY / "examples/agent-worker-egress/agent.py"
HTML = {"Content-Type": "text/html; charset=utf-8"}
SEED = "https://site.test/"


def _start(site: Site, folder: Path, **settings: str) -> subprocess.Popen[str]:
    authority = folder / "ca.pem"
    site.ca.cert_pem.write_to_path(authority)
    proxy = f"http://127.0.0.1:{site.port}"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "SSL_CERT_FILE": str(authority),
        "NOMAD_SHORT_ALLOC_ID": "0a1b2c3d",
        "HTTP_PROXY": proxy,
        "HTTPS_PROXY": proxy,
        "NO_PROXY": "*",
        "AGENT_SEEDS": SEED,
        "AGENT_HOST_DELAY": "0",
        **settings,
    }
    return subprocess.Popen(
        [sys.executable, "-u", AGENT],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(site: Site, folder: Path, **settings: str) -> tuple[int, list[dict[str, Any]], str]:
    process = _start(site, folder, **settings)
    out, err = process.communicate(timeout=30)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


def test_reads_what_it_may_and_names_itself(tmp_path: Path) -> None:
    links = [
        "/a#top",
        "a",
        "/secret/b",
        "https://www.site.test/c",
        "https://other.test/d",
        "http://site.test/e",
    ]
    pages = {
        "https://site.test/robots.txt": Page("User-agent: *\nDisallow: /secret/\n"),
        SEED: Page("".join(f"<a href='{link}'>x</a>" for link in links), headers=HTML),
        "https://site.test/a": Page("<a href='/deeper'>x</a>", headers=HTML),
        "https://www.site.test/c": Page("c"),
    }
    with Site(pages) as site:
        code, lines, err = _run(site, tmp_path)
    assert (code, err) == (0, "")
    assert {line["asked"]: line["outcome"] for line in lines} == {
        SEED: "done",
        "https://site.test/a": "done",
        "https://site.test/secret/b": "forbidden",
        "https://www.site.test/c": "done",
    }
    assert sorted(site.urls()) == sorted([*pages, "https://www.site.test/robots.txt"])
    assert [asked.headers["x-request-token"] for asked in site.asked] == [
        f"0a1b2c3d-{n}" for n in range(1, len(site.asked) + 1)
    ]
    assert {asked.headers["user-agent"] for asked in site.asked} == {"agent-worker-egress/0a1b2c3d"}
    # One tunnel for each server, however many requests, and NO_PROXY=* opens no way around it.
    assert sorted(site.tunnels) == ["site.test:443", "www.site.test:443"]
    assert len({asked.connection for asked in site.asked}) == 2


def test_plain_http_goes_by_a_tunnel_too(tmp_path: Path) -> None:
    with Site({"http://site.test/": Page("198.51.100.20\n")}) as site:
        code, lines, _ = _run(site, tmp_path, AGENT_SEEDS="http://site.test")
    assert (code, lines[0]["reused"], site.tunnels) == (0, True, ["site.test:80"])


@pytest.mark.parametrize("robots", [Page("198.51.100.20\n"), Page("<html>" * 9), Page(status=404)])
def test_a_robots_txt_without_rules_forbids_nothing(tmp_path: Path, robots: Page) -> None:
    with Site({SEED: Page("x"), f"{SEED}robots.txt": robots}) as site:
        assert _run(site, tmp_path)[0] == 0


def test_a_robots_txt_that_cannot_be_read_allows_nothing(tmp_path: Path) -> None:
    with Site({SEED: Page("x"), f"{SEED}robots.txt": Page(status=503)}) as site:
        code, lines, err = _run(site, tmp_path, AGENT_ATTEMPTS="1")
        assert site.urls() == [f"{SEED}robots.txt"]
    assert (code, lines[0]["outcome"]) == (1, "failed")
    assert "robots.txt could not be read: status 503" in err


@pytest.mark.parametrize(
    "text", ["User-agent: *\nDisallow: /", "User-agent: agent-worker-egress\nCrawl-delay: 3600"]
)
def test_what_robots_txt_forbids_is_not_asked(tmp_path: Path, text: str) -> None:
    with Site({SEED: Page("x"), f"{SEED}robots.txt": Page(text)}) as site:
        code, lines, err = _run(site, tmp_path)
        assert site.urls() == [f"{SEED}robots.txt"]
    assert (code, lines[0]["outcome"]) == (1, "forbidden")
    assert err == "agent-worker-egress: no page was read\n"


def test_redirects_are_followed_through_the_proxy(tmp_path: Path) -> None:
    pages = {
        SEED: Page(status=302, headers={"Location": "https://www.site.test/home"}),
        "https://www.site.test/home": Page("home"),
    }
    with Site(pages) as site:
        code, lines, _ = _run(site, tmp_path)
    assert (code, lines[0]["url"], lines[0]["requests"]) == (0, "https://www.site.test/home", 4)
    assert site.tunnels == ["site.test:443", "www.site.test:443"]


@pytest.mark.parametrize(
    "to",
    [
        "https://other.test/",
        "https://site.test.other.test/",
        "https://site.test@other.test/",
        "http://site.test/",
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "http://[",
    ],
)
def test_a_redirect_leads_nowhere_else(tmp_path: Path, to: str) -> None:
    with Site({SEED: Page(status=302, headers={"Location": to})}) as site:
        code, lines, err = _run(site, tmp_path)
    assert (code, lines[0]["outcome"]) == (1, "failed")
    assert "may not be followed" in err
    assert site.tunnels == ["site.test:443"]


def test_a_ring_of_redirects_ends(tmp_path: Path) -> None:
    with Site({SEED: Page(status=301, headers={"Location": "/"})}) as site:
        code, _, err = _run(site, tmp_path)
    assert code == 1
    assert "more than 5 redirects" in err


def test_what_fails_in_passing_is_tried_again(tmp_path: Path) -> None:
    busy = Page(status=503, headers={"Retry-After": "0"})
    with Site({SEED: [busy, busy, Page("x")]}) as site:
        code, lines, _ = _run(site, tmp_path)
    assert (code, lines[0]["requests"], lines[0]["status"]) == (0, 4, 200)


@pytest.mark.parametrize(
    ("status", "after"), [(404, "0"), (503, "3600"), (429, "Thu, 01 Jan 2099 00:00:00 GMT")]
)
def test_what_fails_for_good_is_not(tmp_path: Path, status: int, after: str) -> None:
    with Site({SEED: Page(status=status, headers={"Retry-After": after})}) as site:
        code, lines, _ = _run(site, tmp_path)
    assert (code, lines[0]["requests"], lines[0]["error"]) == (1, 2, f"status {status}")


def test_a_tunnel_that_was_closed_meanwhile_is_opened_again(tmp_path: Path) -> None:
    pages = {f"{SEED}robots.txt": Page("", hang_up=True), SEED: Page("x")}
    with Site(pages) as site:
        code, lines, _ = _run(site, tmp_path, AGENT_ATTEMPTS="1", AGENT_HOST_DELAY="0.2")
    assert (code, lines[0]["reused"]) == (0, False)
    assert site.tunnels == ["site.test:443", "site.test:443"]


def test_a_page_that_never_ends_does_not_hold_it(tmp_path: Path) -> None:
    with Site({SEED: Page("x", drip=True)}) as site:
        code, lines, _ = _run(site, tmp_path, AGENT_ATTEMPTS="1", AGENT_TIMEOUT="0.5")
    assert (code, lines[0]["error"]) == (1, "TimeoutError: no whole answer within 0.5 s")


def test_a_page_that_is_too_long_is_cut(tmp_path: Path) -> None:
    with Site({SEED: Page("x" * 100)}) as site:
        code, lines, _ = _run(site, tmp_path, AGENT_BODY_LIMIT="10")
    assert (code, lines[0]["size"], lines[0]["whole"]) == (0, 10, False)


def test_a_certificate_that_is_not_trusted_ends_it_at_once(tmp_path: Path) -> None:
    with Site({SEED: Page("x")}) as site:
        code, lines, err = _run(site, tmp_path, SSL_CERT_FILE=os.devnull)
    assert (code, lines[0]["requests"], site.asked) == (1, 1, [])
    assert "SSLCertVerificationError" in err


def test_the_report_is_handed_in(tmp_path: Path) -> None:
    to = "https://reports.test/in"
    with Site({SEED: Page("x"), to: [Page(status=503), Page(status=201)]}) as site:
        code, lines, _ = _run(site, tmp_path, AGENT_REPORT_URL=to)
    first, second = (asked for asked in site.asked if asked.method == "POST")
    assert (code, lines[-1]["tool"], lines[-1]["status"]) == (0, "hand_in", 201)
    assert json.loads(second.body) == {"agent": "0a1b2c3d", "findings": lines[:-1]}
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == "0a1b2c3d-report"
    assert first.connection != second.connection


def test_the_report_goes_nowhere_else(tmp_path: Path) -> None:
    to = "https://reports.test/in"
    with Site({SEED: Page("x"), to: Page(status=307, headers={"Location": SEED})}) as site:
        code, _, err = _run(site, tmp_path, AGENT_REPORT_URL=to)
    assert (code, err) == (1, f"agent-worker-egress: {to}: status 307\n")
    assert site.urls()[-1] == to


def test_limits_hold(tmp_path: Path) -> None:
    pages = {f"{SEED}{n}": Page(f"<a href='/{n + 1}'>x</a>", headers=HTML) for n in range(9)}
    with Site(pages) as site:
        _, deep, _ = _run(site, tmp_path, AGENT_SEEDS=f"{SEED}0", AGENT_DEPTH="3")
        code, few, err = _run(site, tmp_path, AGENT_SEEDS=f"{SEED}0,{SEED}5", AGENT_PAGES="1")
    assert [line["asked"] for line in deep] == [f"{SEED}{n}" for n in range(4)]
    assert (code, len(few)) == (1, 1)
    assert f"AGENT_PAGES was too small for {SEED}5" in err


def test_ends_when_it_is_told_to(tmp_path: Path) -> None:
    pages = {SEED: Page("x"), f"{SEED}2": Page("x")}
    with Site(pages) as site:
        resting = _start(site, tmp_path, AGENT_SEEDS=f"{SEED},{SEED}2", AGENT_HOST_DELAY="60")
        assert site.came.wait(10)
        resting.terminate()
        resting.communicate(timeout=5)
        assert resting.returncode == 143
    with Site({f"{SEED}robots.txt": Page("x", drip=True)}) as site:
        waiting = _start(site, tmp_path, AGENT_TIMEOUT="0.5")
        assert site.came.wait(10)
        waiting.terminate()
        out, _ = waiting.communicate(timeout=5)
        assert (waiting.returncode, out, len(site.asked)) == (143, "", 1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"HTTPS_PROXY": ""}, "HTTPS_PROXY is not set: out by a proxy, or not at all"),
        ({"HTTP_PROXY": "socks5h://127.0.0.1:1"}, "HTTP_PROXY is not of the form http://HOST:PORT"),
        ({"AGENT_SEEDS": ""}, "AGENT_SEEDS is not set"),
        ({"AGENT_SEEDS": "site.test"}, "not an http or https URL"),
        ({"AGENT_PAGES": "many"}, "many"),
    ],
)
def test_a_wrong_setting_is_said(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    with Site({SEED: Page("x")}) as site:
        code, _, err = _run(site, tmp_path, **settings)
    assert (code, site.tunnels) == (2, [])
    assert err.startswith("agent-worker-egress: ")
    assert said in err
