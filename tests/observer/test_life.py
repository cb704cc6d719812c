"""How the observer is started, told to end, and goes on with a new certificate."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.management.waiting import wait_until
from tests.observer.programs import FOLDER, TOKEN, Running, arguments, call, module, seen


def test_it_ends_when_it_is_told_to(own: Running) -> None:
    with call(own, "http"):
        assert own.end() == 0
    assert own.said == []


def test_it_ends_at_ctrl_c(own: Running) -> None:
    assert own.end(signal.SIGINT) == 0


def names(running: Running) -> str:
    with call(running, "https") as connection:
        shaken = running.trust.wrap_socket(connection, server_hostname="127.0.0.1")
        return str(shaken.getpeercert())


def test_a_certificate_that_was_renewed_is_taken_up(own: Running) -> None:
    renewed = own.authority.issue_cert("127.0.0.1", "renewed.example.com")
    assert "renewed" not in names(own)
    renewed.cert_chain_pems[0].write_to_path(str(own.certificate))
    renewed.private_key_pem.write_to_path(str(own.key))
    wait_until(lambda: "renewed.example.com" in names(own), seconds=30, what="the new one is shown")


def test_half_of_a_renewal_changes_nothing(own: Running, capsys: pytest.CaptureFixture[str]) -> None:
    held = module("certificate").Certificate(own.certificate, own.key)
    assert not held.look(0)
    renewed = own.authority.issue_cert("127.0.0.1")
    renewed.cert_chain_pems[0].write_to_path(str(own.certificate))
    assert not held.look(0)
    assert "the certificate stays as it was" in capsys.readouterr().err
    renewed.private_key_pem.write_to_path(str(own.key))
    assert not held.look(60)  # it is too early to look
    assert held.look(0)
    assert not held.look(0)


def test_its_check(own: Running) -> None:
    at = str(own.ports["http"])
    assert run("--check", "--http", at).returncode == 0
    assert seen(own, "health")
    own.end()
    assert run("--check", "--http", at).returncode == 1


def run(*argv: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(FOLDER / "observer.py"), *argv],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--http", "x"], "argument --http: invalid port value: 'x'"),
        (["--http", "65536"], "invalid port value"),
        (["--tcp", "-1"], "invalid port value"),
        (["--room", "nan"], "invalid megabytes value"),
        (["--at-once", "0"], "invalid count value"),
        (["--https", "0"], "--https needs --certificate and --key"),
        (["--certificate", "x"], "--certificate and --key go together"),
        (["--certificate", "none.pem", "--key", "none.key"], "No such file or directory: 'none.pem'"),
        (["--token-file", "none"], "No such file or directory: 'none'"),
        (["--token-file", "/dev/null"], "/dev/null: the token in it is shorter than 24 characters"),
        (["--folder", "/dev/null/x"], "Not a directory: '/dev/null/x'"),
    ],
)
def test_wrong_use_is_one_line(tmp_path: Path, more: list[str], said: str) -> None:
    ended = run(*arguments(tmp_path), *more)
    assert ended.returncode == 2
    assert said in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_key_that_does_not_fit(own: Running, tmp_path: Path) -> None:
    own.authority.issue_cert("x.example.com").private_key_pem.write_to_path(str(tmp_path / "other.key"))
    pair = ["--certificate", str(own.certificate), "--key", str(tmp_path / "other.key")]
    ended = run(*arguments(tmp_path / "x"), "--https", "0", *pair)
    assert ended.returncode == 2
    assert str(own.certificate) in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_named(own: Running, tmp_path: Path) -> None:
    ended = run(*arguments(tmp_path / "x"), "--tcp", str(own.ports["tcp"]))
    assert ended.returncode == 2
    assert f"port {own.ports['tcp']} for tcp: Address already in use" in ended.stderr


def test_options_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    read = module("observer").read_options
    options = read(
        [], {"OBSERVER_HTTP": "81", "OBSERVER_TOKEN_FILE": str(tmp_path / "token"), "OBSERVER_TCP": ""}
    )
    assert (options.http, options.token_file, options.tcp) == (81, tmp_path / "token", None)
    assert read(["--http", "82"], {"OBSERVER_HTTP": "81"}).http == 82
    assert read([], {}).https is None
    with_tls = {"OBSERVER_CERTIFICATE": "a", "OBSERVER_KEY": "b"}
    assert read([], with_tls).https == 8443
    assert read([], {**with_tls, "OBSERVER_HTTPS": "443"}).https == 443
    assert not read([], {}).plain
    assert read([], {"OBSERVER_PLAIN_MANAGEMENT": "1"}).plain


def test_its_help_teaches() -> None:
    told = run("--help").stdout
    for option in ("--http", "--certificate", "--token-file", "--room", "OBSERVER_TOKEN_FILE"):
        assert option in told
