"""The guard's ways out, each with a real tailscaled, headscale and exit nodes."""

import http.client
import socket
import subprocess
from pathlib import Path

import pytest

from tests.toolkit import guard, programs
from tests.toolkit.conftest import Tailnet, Worker
from tests.toolkit.guard import EXIT_CODES
from tests.toolkit.tailnet import Sidecar, eventually, free_port

pytestmark = pytest.mark.lab

UNKNOWN_KEY = "hskey-auth-" + "a" * 12 + "-" + "b" * 64


@pytest.mark.parametrize("sh", programs.SHELLS)
def test_passes_when_the_observed_address_is_an_expected_one(joined: Worker, sh: str) -> None:
    done = joined.guard(sh=sh, CHECK_URL=joined.tailnet.check_url(), EXPECTED_EGRESS="192.0.2.7, 127.0.0.1")
    assert done == guard.Ran(
        0,
        "egress-guard: joined the tailnet as worker\n"
        "egress-guard: passed: exit node exit-a, observed egress address 127.0.0.1\n",
        "",
    )


def test_passes_on_an_ipv6_address(joined: Worker) -> None:
    done = joined.guard(CHECK_URL=joined.tailnet.check_url("/v6"), EXPECTED_EGRESS="192.0.2.7,2001:db8::20")
    assert (done.code, done.err) == (0, "")


def test_checks_with_busybox_alone(joined: Worker, tmp_path: Path) -> None:
    settings = {"PATH": programs.busybox_alone(tmp_path), "NO_PROXY": "*", "no_proxy": "*"}
    (tmp_path / "tailscale").symlink_to(programs.find("tailscale"))
    good = joined.guard(
        sh="busybox", CHECK_URL=joined.tailnet.check_url(), EXPECTED_EGRESS="127.0.0.1", **settings
    )
    assert (good.code, good.err) == (0, "")
    bad = joined.guard(sh="busybox", CHECK_URL=joined.tailnet.check_url("/error"), **settings)
    assert bad.code == EXIT_CODES["no answer"]
    assert "500" in bad.reason


def test_a_wrong_address_is_refused_and_no_fallback_tried(joined: Worker) -> None:
    url = joined.tailnet.check_url("/lie")
    done = joined.guard(CHECK_URL=url, EXPECTED_EGRESS="198.51.100.20", FALLBACK_EXIT_NODES="exit-b")
    assert done.code == EXIT_CODES["address"]
    assert (
        done.reason == "the observed egress address is 203.0.113.9, expected 198.51.100.20 (exit node exit-a)"
    )
    assert "exit-b" not in done.out


def test_an_expected_address_is_matched_whole(joined: Worker) -> None:
    done = joined.guard(CHECK_URL=joined.tailnet.check_url(), EXPECTED_EGRESS="127.0.0.10,27.0.0.1")
    assert done.code == EXIT_CODES["address"]


def test_without_an_expectation_any_address_passes_with_a_warning(joined: Worker) -> None:
    done = joined.guard(CHECK_URL=joined.tailnet.check_url("/lie"))
    assert done.code == 0
    assert "warning: no address is expected" in done.out


def test_an_answer_that_is_no_address_is_refused(joined: Worker) -> None:
    url = joined.tailnet.check_url("/html")
    done = joined.guard(CHECK_URL=url)
    assert done.code == EXIT_CODES["not an address"]
    assert done.reason == (
        f'{url} answered "<html>Please log in</html>", which is not an address (exit node exit-a)'
    )


@pytest.mark.parametrize("path", ["/error", "/hang"])
def test_a_check_without_an_answer_is_refused_after_every_exit(joined: Worker, path: str) -> None:
    url = joined.tailnet.check_url(path)
    done = joined.guard(CHECK_URL=url, FALLBACK_EXIT_NODES="exit-b", CHECK_ATTEMPTS="1")
    assert done.code == EXIT_CODES["no answer"]
    assert f"exit-a: {url} gave no answer: curl" in done.reason
    assert f"exit-b: {url} gave no answer: curl" in done.reason


def test_a_missing_exit_is_refused(joined: Worker) -> None:
    done = joined.guard(EXIT_NODE="exit-x", FALLBACK_EXIT_NODES="100.64.9.9")
    assert done.code == EXIT_CODES["exit"]
    assert done.reason == "no usable exit node: exit-x: not in the tailnet; 100.64.9.9: not in the tailnet"


def test_a_node_that_is_no_exit_is_refused(joined: Worker) -> None:
    with Sidecar() as plain:
        plain.join(joined.tailnet.headscale, "plain", tag="tag:exit")
        eventually(lambda: joined.sidecar.peer("plain"), seconds=10, what="the worker's node sees the other")
        done = joined.guard(EXIT_NODE="plain")
    assert done.code == EXIT_CODES["exit"]
    assert done.reason == "no usable exit node: plain: not offered, or not approved, as an exit node"


def test_an_offline_exit_is_refused(joined: Worker) -> None:
    """Although it was online when the worker's node was given its last whole netmap."""
    with Sidecar() as leaving:
        leaving.join(joined.tailnet.headscale, "exit-c", "--advertise-exit-node", tag="tag:exit")
        assert joined.guard(EXIT_NODE="exit-c", EXIT_WAIT="10").code == 0
        leaving.tailscale("down")
        eventually(
            lambda: not joined.sidecar.peer("exit-c")["Online"],
            seconds=30,
            what="the worker's node hears that the exit node has gone",
        )
        done = joined.guard(EXIT_NODE="exit-c")
    assert done.code == EXIT_CODES["exit"]
    assert done.reason == "no usable exit node: exit-c: offline"


def test_a_fallback_is_taken_with_a_warning(joined: Worker) -> None:
    url = joined.tailnet.check_url()
    done = joined.guard(
        EXIT_NODE="exit-x", FALLBACK_EXIT_NODES="exit-y, exit-b", CHECK_URL=url, EXPECTED_EGRESS="127.0.0.1"
    )
    assert (done.code, done.err) == (0, "")
    assert (
        "warning: fell back to exit node exit-b (exit-x: not in the tailnet; exit-y: not in the tailnet)\n"
        in done.out
    )
    assert "passed: exit node exit-b, observed egress address 127.0.0.1\n" in done.out


def test_waits_for_an_exit_that_is_just_starting(joined: Worker) -> None:
    with Sidecar() as late:
        process = subprocess.Popen(
            guard.command(),
            env=joined.environment({"EXIT_NODE": "exit-late", "EXIT_WAIT": "30"}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout
        assert "joined" in process.stdout.readline()
        late.join(joined.tailnet.headscale, "exit-late", "--advertise-exit-node", tag="tag:exit")
        rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "passed: exit node exit-late" in rest


def _ask_through(sidecar: Sidecar, url: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", sidecar.http_port, timeout=10)
    connection.request("GET", url)
    return connection.getresponse().status


def test_sends_nothing_before_an_exit_is_set(worker: Worker) -> None:
    """With no exit, tailscaled sends straight out: here, to a check service that only a leak can reach."""
    echo = worker.tailnet.echo
    url = f"http://127.0.0.1:{echo.port}/direct"
    done = worker.guard(EXIT_NODE="exit-x", FALLBACK_EXIT_NODES="exit-y", CHECK_URL=url)
    assert done.code == EXIT_CODES["exit"]
    assert not [asked for asked in echo.asked if asked.target == "/direct"]
    # The same observer, and how a leak looks: the proxy stands open, only the guard did not use it.
    assert _ask_through(worker.sidecar, url) == 200
    assert [asked for asked in echo.asked if asked.target == "/direct"]


@pytest.mark.parametrize("sh", programs.SHELLS)
def test_an_unknown_key_is_refused_and_not_shown(worker: Worker, sh: str) -> None:
    worker.give_key(UNKNOWN_KEY)
    done = worker.guard(sh=sh)
    assert done.code == EXIT_CODES["refused"]
    assert done.reason.startswith(f"login at {worker.tailnet.headscale.url} failed: ")
    assert UNKNOWN_KEY not in done.out + done.err
    assert "b" * 16 not in done.out + done.err


def test_a_login_server_that_is_down_times_out(worker: Worker) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    done = worker.guard(LOGIN_SERVER=nobody, LOGIN_TIMEOUT="2")
    assert done.code == EXIT_CODES["login timeout"]
    assert done.reason.startswith(f"no login at {nobody} within 2 s")


def test_runs_again_with_a_key_that_is_spent(worker: Worker) -> None:
    worker.give_key(worker.tailnet.headscale.key("tag:nomad-worker", reusable=False))
    assert worker.guard(EXIT_NODE="exit-x").code == EXIT_CODES["exit"]
    assert worker.guard(EXIT_NODE="exit-a").code == 0


def _seen_by_everyone(secret: str) -> list[str]:
    """Every process whose command line or environment holds a text."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for part in ("cmdline", "environ"):
            try:
                if secret.encode() in (process / part).read_bytes():
                    found.append(f"{process.name}/{part}")
            except OSError:  # ended meanwhile, or another user's
                continue
    return found


def test_the_key_is_in_no_process_list_and_term_ends_the_guard(worker: Worker) -> None:
    key = (worker.secrets / "ts-authkey").read_text()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            guard.command(),
            env=worker.environment({"LOGIN_SERVER": url}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        connection, _ = silent.accept()  # `up` is at work now
        with connection:
            # The same search finds what is there: the file's name, which `up` was given.
            assert _seen_by_everyone(f"file:{worker.secrets}/ts-authkey")
            assert not _seen_by_everyone(key)
            process.terminate()
            said, _ = process.communicate(timeout=5)
    assert process.returncode == EXIT_CODES["stopped"]
    assert key not in said
    assert not list(worker.task.glob("*"))


def test_the_node_carries_the_tag_of_its_key(joined: Worker, tailnet: Tailnet) -> None:
    tags = [node["tags"] for name, node in tailnet.headscale.nodes().items() if name.startswith("worker")]
    assert ["tag:nomad-worker"] in tags
    assert joined.tailnet is tailnet
