"""A service that is open to others than those who may, or not what it promises, is refuted; by that alone."""

from dataclasses import dataclass

import pytest

from harness.assembly import default_topology
from harness.lab import topology_file
from harness.lab.topology import Role
from tests.robustness.commands import Command
from tests.robustness.copies import SERVICE, Edit, copy
from tests.robustness.proof import claims

pytestmark = pytest.mark.lab

NODE = topology_file.load(default_topology()).only(Role.NODE)
LAN = str(NODE.v4[1])
REACHABLE, DENIED, PRIVATE = "serve.reachable", "serve.denied_to_strangers", "serve.private"
PORTS = "ports.none_public"
FORGOTTEN = 18018
_MAIN = 'if __name__ == "__main__":\n'


def listening(kind: str, family: str, address: str, port: int) -> Edit:
    """The app opens one listener more, and forgets it."""
    statements = (
        "import socket",
        f"forgotten = socket.socket(socket.{family}, socket.{kind})",
        f'forgotten.bind(("{address}", {port}))',
        *(["forgotten.listen()"] if kind == "SOCK_STREAM" else []),
    )
    return Edit("web.py", _MAIN, _MAIN + "".join(f"    {s}\n" for s in statements))


@dataclass(frozen=True)
class Open:
    """A service that is wrong, and what must come of it."""

    edit: Edit
    refuted: frozenset[str]
    said: str
    """In the reason of one of them."""


SERVICES = {
    "udp": Open(
        listening("SOCK_DGRAM", "AF_INET", "0.0.0.0", FORGOTTEN),  # noqa: S104 - the fault that is to be found
        frozenset({PORTS}),
        f"udp 0.0.0.0:{FORGOTTEN}",
    ),
    "tcp6": Open(listening("SOCK_STREAM", "AF_INET6", "::", FORGOTTEN), frozenset({PORTS}), f":{FORGOTTEN}"),
    "lan": Open(
        # The very port that Serve publishes, beside it.
        listening("SOCK_STREAM", "AF_INET", LAN, 80),
        frozenset({PORTS, PRIVATE}),
        f"http://{LAN}:80/ by neighbour",
    ),
    "wide-tag": Open(
        # Which the policy shows to every member of the tailnet.
        Edit("smoke.toml", '"tag:nomad-service"', '"tag:notice"'),
        frozenset({DENIED}),
        "stranger was let in",
    ),
    "another-page": Open(
        Edit("web.py", "<h1>{title}</h1>", "<h2>{title}</h2>"), frozenset({REACHABLE}), "does not contain"
    ),
    "no-page": Open(
        Edit("web.py", 'if request.path != "/":', 'if request.path != "/page":'),
        frozenset({REACHABLE}),
        "answered 404 instead of 200",
    ),
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """One run over all of them, side by side with the service as it stands: one lab, several examples."""
    root = tmp_path_factory.mktemp("open")
    for name, service in SERVICES.items():
        copy(root, name, service.edit, of=SERVICE)
    copy(root, "honest", of=SERVICE)
    argv = ("pytest", "scenarios", "-p", "no:cacheprovider", "-k", "serve or ports")
    with Command(root / "run", [*argv, "--examples", str(root / "examples")]) as run:
        run.wait(240)
        return run


@pytest.mark.parametrize("name", ["honest", *SERVICES])
def test_what_is_open_is_refuted_and_nothing_else(judged: Command, name: str) -> None:
    found = {claim: e["verdict"] for (subject, claim), e in claims(judged).items() if subject == name}
    refuted = SERVICES[name].refuted if name in SERVICES else frozenset()
    expected = {c: "refuted" if c in refuted else "proven" for c in (REACHABLE, DENIED, PRIVATE, PORTS)}
    assert found == expected, judged.output


@pytest.mark.parametrize("name", SERVICES)
def test_the_reason_says_what_is_open(judged: Command, name: str) -> None:
    service = SERVICES[name]
    reasons = [e["reason"] for (s, c), e in claims(judged).items() if s == name and c in service.refuted]
    assert any(service.said in reason for reason in reasons), reasons


def test_the_run_fails(judged: Command) -> None:
    assert judged.exit_code == 1, judged.output
