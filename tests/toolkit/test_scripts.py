"""Scripts as text, and what the guard refuses before it talks to anybody: no tailnet needed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toolkit import guard, programs

SCRIPTS = sorted(programs.GUARD.parent.glob("*.sh"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    beside_python = Path(sys.executable).parent / "shellcheck"
    program = beside_python if beside_python.exists() else shutil.which("shellcheck")
    assert program, "shellcheck is not installed: pip install -e '.[dev]'"
    done = subprocess.run(
        [program, "--shell=sh", "--external-sources", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("sh", programs.SHELLS)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_parses(script: Path, sh: str) -> None:
    subprocess.run([*programs.shell(sh), "-n", script], check=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_holds_no_template_delimiter_of_the_jobs(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert "<%nomad" not in text
    assert "nomad%>" not in text


def test_exit_codes_are_those_that_the_script_names() -> None:
    head = programs.GUARD.read_text(encoding="utf-8").partition("set -euf")[0].replace("\n#", "")
    for meaning, code in guard.EXIT_CODES.items():
        assert f" {code} " in head, meaning


@pytest.mark.parametrize("sh", programs.SHELLS)
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "EXIT_NODE is not set"),
        ({"EXIT_NODE": "exit-a", "EXIT_WAIT": "5s"}, "EXIT_WAIT=5s is not a whole number"),
        ({"EXIT_NODE": "exit-a", "EXPECTED_EGRESS": "192.0.2.1"}, "no CHECK_URL"),
        ({"EXIT_NODE": "exit-a", "CHECK_URL": "http://c/"}, "NOMAD_PORT_http"),
        ({"EXIT_NODE": "exit-a", "CHECK_URL": "c", "NOMAD_PORT_http": "1"}, "neither http nor https"),
    ],
    ids=["no exit", "no number", "an expectation that nothing checks", "no proxy", "no scheme"],
)
def test_refuses_settings(tmp_path: Path, sh: str, settings: dict[str, str], said: str) -> None:
    done = guard.run(tmp_path, settings, sh=sh)
    assert done.code == guard.EXIT_CODES["setting"]
    assert said in done.reason


@pytest.mark.parametrize("sh", programs.SHELLS)
@pytest.mark.parametrize(
    "wrong",
    ["198.51.100", "198.51.100.256", "1.2.3.4.5", "exit-a", "198.51.100.20/32", "::1::", "12345::", "::g"],
)
def test_refuses_an_expectation_that_is_no_address(tmp_path: Path, sh: str, wrong: str) -> None:
    settings = {
        "EXIT_NODE": "a",
        "CHECK_URL": "http://c/",
        "NOMAD_PORT_http": "1",
        "EXPECTED_EGRESS": f"198.51.100.20, {wrong}",
    }
    done = guard.run(tmp_path, settings, sh=sh)
    assert done.code == guard.EXIT_CODES["setting"]
    assert done.reason == f"EXPECTED_EGRESS holds {wrong}, which is not an address"


def test_refuses_https_where_only_busybox_is_there(tmp_path: Path) -> None:
    settings = {"EXIT_NODE": "exit-a", "CHECK_URL": "https://c/", "NOMAD_PORT_http": "1"}
    path = programs.busybox_alone(tmp_path)
    done = guard.run(tmp_path, {**settings, "PATH": path}, sh="busybox")
    assert done.code == guard.EXIT_CODES["setting"]
    assert "BusyBox" in done.reason
    # With curl, the same settings reach the next question.
    assert guard.run(tmp_path, settings).code == guard.EXIT_CODES["key"]


@pytest.mark.parametrize("content", [None, "", " \n"], ids=["no file", "empty", "blank"])
@pytest.mark.parametrize("sh", programs.SHELLS)
def test_refuses_without_a_key(tmp_path: Path, sh: str, content: str | None) -> None:
    key_file = tmp_path / "ts-authkey"
    if content is not None:
        key_file.write_text(content)
    done = guard.run(tmp_path, {"EXIT_NODE": "a", "TS_AUTHKEY_FILE": str(key_file)}, sh=sh)
    assert done.code == guard.EXIT_CODES["key"]
    assert done.reason == f"no auth key in {key_file}"


@pytest.mark.parametrize("sh", programs.SHELLS)
def test_refuses_without_a_socket(tmp_path: Path, sh: str) -> None:
    key_file = tmp_path / "ts-authkey"
    key_file.write_text("tskey-auth-x")
    nowhere = tmp_path / "tailscaled.sock"
    settings = {
        "EXIT_NODE": "a",
        "TS_AUTHKEY_FILE": str(key_file),
        "TS_SOCKET": str(nowhere),
        "TS_SOCKET_TIMEOUT": "1",
    }
    done = guard.run(tmp_path, settings, sh=sh)
    assert done.code == guard.EXIT_CODES["socket"]
    assert done.reason == f"tailscaled does not answer on {nowhere} after 1 s"
