"""The policy sample, judged by the control server that enforces it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.toolkit.programs import REPOSITORY
from tests.toolkit.tailnet import Headscale, eventually

pytestmark = pytest.mark.lab

SAMPLE = (REPOSITORY / "acl/example-tailscale-acl.json").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def headscale() -> Iterator[Headscale]:
    """One with a node of each kind: headscale judges a test by the nodes that there are."""
    with Headscale(SAMPLE) as server:
        for name in ("platform", "guest"):
            server.json("users", "create", name, "--email", f"{name}@example.com")
        server.register("worker", "platform", "tag:nomad-worker")
        for kind in ("nomad", "api", "redis", "restricted"):
            server.register(f"{kind}-service", "platform", f"tag:{kind}-service")
        server.register("notice", "platform", "tag:notice")
        server.register("exit", "platform", "tag:exit")
        server.register("laptop", "platform")
        server.register("phone", "guest")
        yield server


def _check(headscale: Headscale, policy: str, folder: Path) -> tuple[int, str]:
    file = folder / "policy.json"
    file.write_text(policy)
    done = headscale.run("policy", "check", "-f", file)
    return done.returncode, done.stdout + done.stderr


def test_the_sample_keeps_its_own_promises(headscale: Headscale, tmp_path: Path) -> None:
    assert _check(headscale, SAMPLE, tmp_path) == (0, "Policy is valid\n")


def test_a_running_server_takes_it_up(headscale: Headscale) -> None:
    headscale.process.popen.send_signal(signal.SIGHUP)
    said = eventually(
        lambda: [line for line in headscale.process.log.read_text().splitlines() if "reload" in line.lower()][
            1:
        ],
        seconds=5,
        what="headscale reloads its policy",
    )
    assert not [line for line in said if "ERR" in line]


@pytest.mark.parametrize(
    ("rule", "instead", "said"),
    [
        ('"tag:nomad-service:80,443"', '"tag:nomad-service:*"', "tag:nomad-service:22"),
        (
            '"src": ["group:platform"]',
            '"src": ["autogroup:member"]',
            "guest@example.com -> tag:nomad-service:80",
        ),
        (
            '"src": ["group:oncall"]',
            '"src": ["autogroup:member"]',
            "guest@example.com -> tag:restricted-service:80",
        ),
        ('"tag:redis-service:6379"]\n    },', '"tag:redis-service:*"]\n    },', "tag:redis-service:80"),
        ('"dst": ["autogroup:internet:*"]', '"dst": ["autogroup:internet:*", "tag:exit:*"]', "tag:exit:22"),
        ('"dst": ["autogroup:internet:*"]', '"dst": ["autogroup:internet:53"]', "198.51.100.80:443"),
        ('"src": ["tag:nomad-worker"]', '"src": ["*"]', "guest@example.com -> 198.51.100.80:443"),
    ],
    ids=[
        "every port",
        "strangers",
        "strangers to what is for few",
        "more than Redis",
        "the exit itself",
        "no web",
        "anyone goes out",
    ],
)
def test_a_changed_rule_breaks_a_promise(
    headscale: Headscale, tmp_path: Path, rule: str, instead: str, said: str
) -> None:
    assert SAMPLE.count(rule) == 1
    code, text = _check(headscale, SAMPLE.replace(rule, instead), tmp_path)
    assert code != 0
    assert said in text


def test_only_the_exit_tag_is_approved_by_itself() -> None:
    assert '"exitNode": ["tag:exit"]' in SAMPLE
