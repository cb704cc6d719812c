"""What the environment says, read; and each thing that can be wrong with it, by its setting's name."""

import re
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.live import settings
from harness.live.settings import Belonging, ExitSetting

LEAST = {
    "NOMAD_ADDR": "https://nomad.example.com:4646/",
    "TAILNET_LOGIN_SERVER": "https://headscale.example.com",
    "HEADSCALE_API_KEY": "key",
}


def test_the_least() -> None:
    told = settings.read(LEAST)
    assert told.nomad.address == "https://nomad.example.com:4646"
    assert told.nomad.namespace == "default"
    assert told.tailnet.serve_scheme == "https"
    assert told.observer is None
    assert (told.seconds, told.allocations) == (180, 4)


def test_all_of_it(tmp_path: Path) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem", "token"):
        (tmp_path / name).write_text(" secret\n")
    told = settings.read(
        LEAST
        | {
            "NOMAD_TOKEN": "a-token",
            "NOMAD_NAMESPACE": "jobs",
            "NOMAD_REGION": "eu",
            "NOMAD_CACERT": str(tmp_path / "ca.pem"),
            "NOMAD_CAPATH": str(tmp_path),
            "NOMAD_CLIENT_CERT": str(tmp_path / "cert.pem"),
            "NOMAD_CLIENT_KEY": str(tmp_path / "key.pem"),
            "NOMAD_TLS_SERVER_NAME": "server.global.nomad",
            "NOMAD_SKIP_VERIFY": "true",
            "TAILNET_DOMAIN": ".tailnet.example.com.",
            "TAILNET_SERVE_SCHEME": "http",
            "TAILNET_CLIENT": "platform@example.com",
            "TAILNET_STRANGER": "tag:a, tag:b",
            "TAILNET_NOTICE_URL": "http://notice/",
            "EXIT_NODES": "exit-a=fra 203.0.113.4 2001:0db8::0004; exit-b=ams",
            "CHECK_URL": "http://check4.example.com/",
            "OBSERVER_URL": "https://observer.example.com/",
            "OBSERVER_TOKEN_FILE": str(tmp_path / "token"),
            "SMOKE_SECONDS": "60",
            "LIVE_ALLOCATIONS": "2",
        }
    )
    assert told.nomad.skip_verify
    assert told.tailnet.domain == "tailnet.example.com"
    assert told.tailnet.client == Belonging(user="platform@example.com")
    assert told.tailnet.stranger == Belonging(tags=("tag:a", "tag:b"))
    assert told.exits == (
        ExitSetting("exit-a", "fra", ("203.0.113.4", "2001:db8::4")),
        ExitSetting("exit-b", "ams", ()),
    )
    assert told.exit("exit-b") == told.exits[1]
    assert told.exit("exit-c") is None
    assert told.observer is not None
    assert told.observer.token == "secret"  # noqa: S105 - of nobody
    assert (told.seconds, told.allocations) == (60, 2)


def test_no_secret_is_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("auth-SECRET\n")
    told = settings.read(
        LEAST
        | {
            "NOMAD_TOKEN": "nomad-SECRET",
            "HEADSCALE_API_KEY": "headscale-SECRET",
            "TAILNET_AUTH_KEY_FILE": str(tmp_path / "key"),
            "OBSERVER_URL": "https://observer",
            "OBSERVER_TOKEN": "observer-SECRET",
            "CONSUL_HTTP_TOKEN": "consul-SECRET",
        }
    )
    assert told.tailnet.auth_key == "auth-SECRET"
    assert "SECRET" not in repr(told)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"NOMAD_ADDR": ""}, "NOMAD_ADDR"),
        ({"NOMAD_ADDR": "nomad:4646"}, "NOMAD_ADDR"),
        ({"NOMAD_CACERT": "/nowhere/ca.pem"}, "NOMAD_CACERT"),
        ({"NOMAD_CAPATH": "/nowhere"}, "NOMAD_CAPATH"),
        ({"NOMAD_CLIENT_CERT": __file__}, "NOMAD_CLIENT_KEY"),
        ({"NOMAD_CLIENT_KEY": __file__}, "NOMAD_CLIENT_CERT"),
        ({"NOMAD_SKIP_VERIFY": "perhaps"}, "NOMAD_SKIP_VERIFY"),
        ({"HEADSCALE_API_KEY": ""}, "TAILNET_AUTH_KEY_FILE"),
        ({"TAILSCALE_API_KEY": "key"}, "TAILSCALE_API_KEY"),
        ({"TAILNET_LOGIN_SERVER": ""}, "TAILNET_LOGIN_SERVER"),
        ({"TAILNET_LOGIN_SERVER": "headscale"}, "TAILNET_LOGIN_SERVER"),
        ({"TAILNET_AUTH_KEY_FILE": "/nowhere/key"}, "TAILNET_AUTH_KEY_FILE"),
        ({"TAILNET_AUTH_KEY_FILE": "/dev/null"}, "TAILNET_AUTH_KEY_FILE"),
        ({"TAILNET_SERVE_SCHEME": "ftp"}, "TAILNET_SERVE_SCHEME"),
        ({"TAILNET_CLIENT": "a@example.com, b@example.com"}, "TAILNET_CLIENT"),
        ({"TAILNET_STRANGER": "tag:a, b"}, "TAILNET_STRANGER"),
        ({"EXIT_NODES": "exit-a"}, "EXIT_NODES"),
        ({"EXIT_NODES": "exit-a=fra 203.0.113.400"}, "EXIT_NODES"),
        ({"CHECK_URL": "check.example.com"}, "CHECK_URL"),
        ({"CHECK_URL_V6": "ftp://check.example.com"}, "CHECK_URL_V6"),
        ({"OBSERVER_URL": "https://observer"}, "OBSERVER_TOKEN"),
        ({"SMOKE_SECONDS": "soon"}, "SMOKE_SECONDS"),
        ({"LIVE_ALLOCATIONS": "0"}, "LIVE_ALLOCATIONS"),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, str], name: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings.read(LEAST | changed)
    assert caught.value.problem.startswith(f"{name}: ")
    assert "\n" not in caught.value.problem


def test_a_user_of_tailscale_has_no_key_of_ours() -> None:
    given = {"NOMAD_ADDR": "http://nomad:4646", "TAILSCALE_API_KEY": "key", "TAILNET_CLIENT": "a@example.com"}
    with pytest.raises(UsageError, match=r"TAILNET_CLIENT: .* no list of tags"):
        settings.read(given)


def test_every_setting_is_described() -> None:
    """What is read stands in env.template, and what stands there for a live site is read."""
    root = Path(__file__).parents[2]
    source = (root / "harness/live/settings.py").read_text()
    template = (root / "env.template").read_text()
    read = set(re.findall(r'given(?:\.get\(|, |\[)"([A-Z_0-9]+)"', source))
    assert len(read) > 20
    assert not {name for name in read if name not in template and name != "TAILSCALE_API_URL"}
