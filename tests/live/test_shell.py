"""Sessions of `nomad alloc exec` that break off: begun again, and never taken for an answer.

The nomad command is a script here, as a real one breaks off when it likes: that is in test_on_a_cluster.py.
"""

from pathlib import Path

import httpx
import pytest

from harness.errors import LabError, UsageError
from harness.live.settings import NomadSettings
from harness.live.shell import Door, Shell

SETTINGS = NomadSettings("http://127.0.0.1:9", token="a-token-SECRET")  # noqa: S106 - of nobody
# Without what comes before the command: alloc exec -i=... -t=false -e none -task TASK ALLOCATION.
RUNS = 'shift 9; exec "$@"'


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return nomad(tmp_path, RUNS)


def nomad(folder: Path, script: str) -> Shell:
    program = folder / "nomad"
    program.write_text(f"#!/bin/sh\ncount={folder}/count\necho x >> $count\n{script}\n")
    program.chmod(0o755)
    return Shell(SETTINGS)


def sessions(folder: Path) -> int:
    return len((folder / "count").read_text().split())


def test_a_command_to_its_end(shell: Shell) -> None:
    done = shell.run("12345678-aaaa", "worker", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.exit_code) == ("out\n", "err\n", 7)
    assert shell.run("12345678-aaaa", "worker", "cat", stdin=b"given").stdout == "given"


@pytest.mark.usefixtures("shell")
def test_a_session_that_breaks_off_is_begun_again(tmp_path: Path) -> None:
    flaky = nomad(tmp_path, f"[ $(wc -l < $count) -ge 3 ] || exit 0; {RUNS}")
    assert flaky.run("12345678-aaaa", "worker", "echo", "out").stdout == "out\n"
    assert sessions(tmp_path) == 3


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize("script", ["exit 0", "echo half of it; exit 0"])
def test_sessions_that_all_break_off_are_an_error(tmp_path: Path, script: str) -> None:
    with pytest.raises(LabError, match="task worker of allocation 12345678: `echo` cannot be run"):
        nomad(tmp_path, script).run("12345678-aaaa", "worker", "echo", "out")
    assert sessions(tmp_path) == 4


@pytest.mark.usefixtures("shell")
def test_what_nomad_refuses_is_not_asked_again(tmp_path: Path) -> None:
    refusing = nomad(tmp_path, "echo 'Permission denied' >&2; exit 1")
    with pytest.raises(LabError) as caught:
        refusing.run("12345678-aaaa", "worker", "echo", "out")
    assert "Permission denied" in str(caught.value)
    assert sessions(tmp_path) == 1


def test_it_may_not_take_for_ever(shell: Shell) -> None:
    with pytest.raises(LabError, match=r"`sleep` takes longer than 0\.5 s"):
        shell.run("12345678-aaaa", "worker", "sleep", "60", seconds=0.5)


def test_no_nomad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="PATH: there is no nomad command"):
        Shell(SETTINGS)


def test_the_token_is_in_no_description(shell: Shell) -> None:
    assert "SECRET" not in repr(shell.joined("12345678-aaaa", "worker", "true"))
    assert "SECRET" not in " ".join(shell.joined("12345678-aaaa", "worker", "true").command)


ANSWER = "read line; printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok'"


def through(door: Door) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=door.path), timeout=10) as client:
        return client.get("http://name/")


def test_a_door_leads_through_a_command(shell: Shell) -> None:
    with Door(shell, "12345678-aaaa", "member", ["sh", "-c", ANSWER]) as door:
        assert through(door).text == "ok"


@pytest.mark.parametrize(
    ("command", "broke_off", "complaint"),
    [("echo no such host >&2; exit 1", False, "no such host"), ("kill -9 $PPID", True, "")],
)
def test_how_a_door_was_shut_is_known(shell: Shell, command: str, broke_off: bool, complaint: str) -> None:
    """A command that failed has said so; one whose session broke off has not."""
    with Door(shell, "12345678-aaaa", "member", ["sh", "-c", command]) as door:
        with pytest.raises(httpx.HTTPError):
            through(door)
        door.settle()
    assert (door.broke_off, door.complaint) == (broke_off, complaint)
