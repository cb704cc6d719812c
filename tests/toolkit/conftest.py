"""The tailnet that tests of the scripts share: starting one takes seconds, and most tests only look."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.toolkit import guard
from tests.toolkit.echo import Echo
from tests.toolkit.tailnet import Headscale, Sidecar

# Wider than the sample in one thing: workers reach the exits' own ports. There is no internet on
# loopback, so what stands for the check service listens beside an exit and is seen from 127.0.0.1.
# It can only be reached through the tailnet, so an answer shows that the check went through the sidecar.
POLICY = """
{
  "tagOwners": {"tag:nomad-worker": [], "tag:exit": [], "tag:nomad-service": [], "tag:reader": []},
  "autoApprovers": {"exitNode": ["tag:exit"]},
  "acls": [
    {"action": "accept", "src": ["tag:nomad-worker"], "dst": ["autogroup:internet:*", "tag:exit:*"]},
    {"action": "accept", "src": ["tag:reader"], "dst": ["tag:nomad-service:*"]}
  ],
  "nodeAttrs": [{"target": ["*"], "attr": ["disable-captive-portal-detection"]}]
}
"""


@dataclass(frozen=True)
class Tailnet:
    """A tailnet with two exit nodes, exit-a and exit-b, and a check service beside exit-b."""

    headscale: Headscale
    echo: Echo

    def check_url(self, path: str = "/") -> str:
        """The check service as a worker reaches it."""
        address = self.headscale.nodes()["exit-b"]["ip_addresses"][0]
        return f"http://{address}:{self.echo.port}{path}"


@dataclass(frozen=True)
class Worker:
    """An allocation as the guard sees it: a sidecar, and the guard's own folders."""

    tailnet: Tailnet
    sidecar: Sidecar
    task: Path
    secrets: Path

    def environment(self, settings: dict[str, str]) -> dict[str, str]:
        """What the job gives its guard; `settings` go over it."""
        return {
            **self.sidecar.environment,
            "NOMAD_TASK_DIR": str(self.task),
            "NOMAD_SECRETS_DIR": str(self.secrets),
            "TAILNET_NAME": "worker",
            "LOGIN_SERVER": self.tailnet.headscale.url,
            "EXIT_NODE": "exit-a",
            "EXIT_WAIT": "1",
            "CHECK_TIMEOUT": "2",
            "CHECK_ATTEMPTS": "3",
            **settings,
        }

    def give_key(self, key: str) -> None:
        """Put an auth key where the job's template puts it."""
        (self.secrets / "ts-authkey").write_text(key)

    def guard(self, *, sh: str = "dash", **settings: str) -> guard.Ran:
        """Run the guard to its end."""
        return guard.run(self.task, self.environment(settings), sh=sh)


@pytest.fixture(scope="session")
def tailnet() -> Iterator[Tailnet]:
    with ExitStack() as owned:
        headscale = owned.enter_context(Headscale(POLICY))
        for name in ("exit-a", "exit-b"):
            exit_node = owned.enter_context(Sidecar())
            exit_node.join(headscale, name, "--advertise-exit-node", tag="tag:exit")
        yield Tailnet(headscale, owned.enter_context(Echo()))


def _worker(tailnet: Tailnet, sidecar: Sidecar, folder: Path) -> Worker:
    made = Worker(tailnet, sidecar, folder / "local", folder / "secrets")
    made.task.mkdir()
    made.secrets.mkdir()
    return made


@pytest.fixture
def worker(tailnet: Tailnet, tmp_path: Path) -> Iterator[Worker]:
    """A new allocation: never logged in."""
    with Sidecar() as sidecar:
        made = _worker(tailnet, sidecar, tmp_path)
        made.give_key(tailnet.headscale.key("tag:nomad-worker"))
        yield made


@pytest.fixture(scope="session")
def joined(tailnet: Tailnet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """An allocation that is in the tailnet already, as for a guard that is run again."""
    with Sidecar() as sidecar:
        made = _worker(tailnet, sidecar, tmp_path_factory.mktemp("joined"))
        made.give_key(tailnet.headscale.key("tag:nomad-worker"))
        # The first connection to a peer waits for WireGuard's handshake, whose next try is 5 s away when
        # one is lost: paid for here, so that the tests' short time limits hold.
        done = made.guard(CHECK_URL=tailnet.check_url(), CHECK_TIMEOUT="10")
        assert done.code == 0, done
        yield made
