"""Wrong settings, each said by its name, at once, with nothing made: against servers on loopback.

The same against a real cluster is in test_wrong_settings.py.
"""

import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import trustme

from harness.errors import NoTailCarError, UsageError
from harness.live import settings, site
from tests.live.servers import Said, Server
from tests.live.test_rights import FULL

RULES = {"RulesJSON": FULL}
NOMAD: Mapping[str, Said] = {
    "/v1/acl/token/self": (200, {"Type": "client", "Policies": ["notailcar"], "Roles": []}),
    "/v1/acl/policy/notailcar": (200, RULES),
    "/v1/namespace/default": (200, {"Name": "default"}),
}
EXIT = {"id": "1", "givenName": "fra", "online": True, "tags": ["tag:exit"]}
HEADSCALE: Mapping[str, Said] = {
    "/api/v1/preauthkey": (200, {"preAuthKeys": []}),
    "/api/v1/node": (200, {"nodes": [EXIT]}),
    "/api/v1/node/1": (200, {"node": {**EXIT, "approvedRoutes": ["0.0.0.0/0", "::/0"]}}),
    "/api/v1/user": (200, {"users": [{"id": "1", "name": "platform@example.com"}]}),
}


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def environment(nomad: str, headscale: str, **changed: str) -> dict[str, str]:
    return {
        "NOMAD_ADDR": nomad,
        "NOMAD_TOKEN": "a-token-SECRET",
        "TAILNET_LOGIN_SERVER": headscale,
        "HEADSCALE_API_KEY": "a-key-SECRET",
        "EXIT_NODES": "exit-a=fra 203.0.113.4",
        "TAILNET_CLIENT": "platform@example.com",
        **changed,
    }


@pytest.fixture
def headscale() -> Iterator[Server]:
    with Server(HEADSCALE) as server:
        yield server


@pytest.fixture
def nomad() -> Iterator[Server]:
    with Server(NOMAD) as server:
        yield server


def refused(given: dict[str, str]) -> UsageError:
    began = time.monotonic()
    with pytest.raises(UsageError) as caught:
        site.check(settings.read(given))
    assert time.monotonic() - began < 5
    assert "\n" not in caught.value.problem
    assert "SECRET" not in str(caught.value)
    return caught.value


def test_all_is_well(nomad: Server, headscale: Server) -> None:
    site.check(settings.read(environment(nomad.url, headscale.url)))
    # Nothing was made, and nothing changed.
    assert {method for method, _ in (*nomad.asked, *headscale.asked)} == {"GET"}


def test_a_management_token_needs_no_policy(headscale: Server) -> None:
    answers: dict[str, Said] = {**NOMAD, "/v1/acl/token/self": (200, {"Type": "management"})}
    with Server(answers) as nomad:
        site.check(settings.read(environment(nomad.url, headscale.url)))


def test_without_acls_everybody_may(headscale: Server) -> None:
    answers: dict[str, Said] = {**NOMAD, "/v1/acl/token/self": (400, "ACL support disabled")}
    with Server(answers) as nomad:
        site.check(settings.read(environment(nomad.url, headscale.url, NOMAD_TOKEN="")))


def test_the_rights_of_a_role_count(headscale: Server) -> None:
    answers: dict[str, Said] = {
        **NOMAD,
        "/v1/acl/token/self": (200, {"Type": "client", "Policies": None, "Roles": [{"ID": "r"}]}),
        "/v1/acl/role/r": (200, {"ID": "r", "Policies": [{"Name": "notailcar"}]}),
    }
    with Server(answers) as nomad:
        site.check(settings.read(environment(nomad.url, headscale.url)))


@pytest.mark.parametrize(
    ("path", "said", "name"),
    [
        ("/v1/acl/token/self", (403, "ACL token not found"), "NOMAD_TOKEN"),
        ("/v1/acl/token/self", (403, "ACL token expired"), "NOMAD_TOKEN"),
        ("/v1/acl/token/self", (404, "404 page not found"), "NOMAD_ADDR"),
        ("/v1/acl/token/self", (400, "Client sent an HTTP request to an HTTPS server."), "NOMAD_ADDR"),
        ("/v1/acl/policy/notailcar", (200, {"RulesJSON": None}), "NOMAD_TOKEN"),
        ("/v1/namespace/default", (404, "Namespace not found"), "NOMAD_NAMESPACE"),
    ],
)
def test_a_wrong_setting_of_nomad(headscale: Server, path: str, said: Said, name: str) -> None:
    with Server({**NOMAD, path: said}) as nomad:
        assert refused(environment(nomad.url, headscale.url)).problem.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("path", "said", "name"),
    [
        ("/api/v1/preauthkey", (401, "Unauthorized"), "HEADSCALE_API_KEY"),
        ("/api/v1/preauthkey", (500, "Unauthorized"), "HEADSCALE_API_KEY"),
        ("/api/v1/node", (200, {"nodes": []}), "EXIT_NODES"),
        ("/api/v1/node", (200, {"nodes": [{**EXIT, "online": False}]}), "EXIT_NODES"),
        ("/api/v1/node/1", (200, {"node": EXIT}), "EXIT_NODES"),
        ("/api/v1/user", (200, {"users": []}), "TAILNET_CLIENT"),
    ],
)
def test_a_wrong_setting_of_the_tailnet(nomad: Server, path: str, said: Said, name: str) -> None:
    with Server({**HEADSCALE, path: said}) as headscale:
        assert refused(environment(nomad.url, headscale.url)).problem.startswith(f"{name}: ")


@pytest.mark.parametrize("name", ["NOMAD_ADDR", "TAILNET_LOGIN_SERVER"])
def test_nobody_listens(nomad: Server, headscale: Server, name: str) -> None:
    given = environment(nomad.url, headscale.url, **{name: "http://127.0.0.1:9"})
    assert refused(given).problem.startswith(f"{name}: http://127.0.0.1:9 cannot be reached")


TRUSTED = (("NOMAD_CACERT", "NOMAD_ADDR"), ("TAILNET_CACERT", "TAILNET_LOGIN_SERVER"))
"""The settings with a server's CA, and with its address."""


def tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """What a server has that proves itself by a certificate of this name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.mark.parametrize("settings_of", TRUSTED)
def test_another_authority(
    nomad: Server, headscale: Server, authority: trustme.CA, tmp_path: Path, settings_of: tuple[str, str]
) -> None:
    name, address = settings_of
    context = tls(authority, "127.0.0.1")
    other, right = tmp_path / "other.pem", tmp_path / "right.pem"
    trustme.CA().cert_pem.write_to_path(other)
    authority.cert_pem.write_to_path(right)
    answers = NOMAD if address == "NOMAD_ADDR" else HEADSCALE
    with Server(answers, context) as server:
        given = environment(nomad.url, headscale.url, **{address: server.url})
        error = refused({**given, name: str(other)})
        assert error.problem.startswith(f"{name}: the certificate at {server.url} is not trusted")
        site.check(settings.read({**given, name: str(right)}))


@pytest.mark.parametrize("settings_of", TRUSTED)
def test_a_certificate_of_another_host_is_a_wrong_address(
    nomad: Server, headscale: Server, authority: trustme.CA, tmp_path: Path, settings_of: tuple[str, str]
) -> None:
    ca, address = settings_of
    context = tls(authority, "elsewhere.test")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with Server(NOMAD if address == "NOMAD_ADDR" else HEADSCALE, context) as server:
        given = environment(nomad.url, headscale.url, **{address: server.url, ca: str(tmp_path / "ca.pem")})
        said = refused(given).problem
    assert said.startswith(f"{address}: the certificate at {server.url} is of another host: ")


def test_a_file_of_no_certificates(nomad: Server, headscale: Server, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate\n")
    given = environment(nomad.url, headscale.url, NOMAD_CACERT=str(tmp_path / "ca.pem"))
    assert refused(given).problem.startswith("NOMAD_CACERT: no certificates can be read")


def test_a_server_that_is_ill_is_no_wrong_setting(headscale: Server) -> None:
    with (
        Server({**NOMAD, "/v1/acl/token/self": (502, "bad gateway")}) as nomad,
        pytest.raises(NoTailCarError) as caught,
    ):
        site.check(settings.read(environment(nomad.url, headscale.url)))
    assert not isinstance(caught.value, UsageError)
