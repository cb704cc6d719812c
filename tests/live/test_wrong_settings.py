"""Wrong settings on a real cluster: one line that names the setting, within five seconds, and no trace."""

import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.live.runs import LiveRun
from tests.live.standin.standin import StandIn

pytestmark = pytest.mark.lab
WRONG: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "a bad token": ("NOMAD_TOKEN", {"NOMAD_TOKEN": "11111111-2222-3333-4444-555555555555"}),
    "no token": ("NOMAD_TOKEN", {"NOMAD_TOKEN": ""}),
    "no authority": ("NOMAD_CACERT", {"NOMAD_CACERT": ""}),
    "plain http": ("NOMAD_ADDR", {"NOMAD_ADDR": "http://198.51.100.202:4646"}),
    "nobody there": ("NOMAD_ADDR", {"NOMAD_ADDR": "https://198.51.100.199:4646"}),
    "another namespace": ("NOMAD_TOKEN", {"NOMAD_NAMESPACE": "elsewhere"}),
    "an expired key": ("HEADSCALE_API_KEY", {"HEADSCALE_API_KEY": "hskey-api-abcdefghijkl-0000"}),
    "no tailnet there": ("TAILNET_LOGIN_SERVER", {"TAILNET_LOGIN_SERVER": "https://nobody.lab.test"}),
    "no exit node": ("EXIT_NODES", {"EXIT_NODES": "exit-a=elsewhere 198.51.100.20"}),
    "no exit": ("EXIT_NODES", {"EXIT_NODES": "exit-a=notice 198.51.100.20"}),
    "nobody's device": ("TAILNET_CLIENT", {"TAILNET_CLIENT": "nobody@example.com"}),
    "another token": ("OBSERVER_TOKEN", {"OBSERVER_TOKEN": "another-token-than-the-observers"}),
}


@pytest.mark.parametrize("case", WRONG)
def test_it_is_named_at_once(stand_in: StandIn, tmp_path: Path, case: str) -> None:
    name, changed = WRONG[case]
    settings = {**stand_in.settings(), **changed}
    began = time.monotonic()
    run = LiveRun(stand_in, tmp_path, "-k", "egress-worker and address", settings=settings)
    ended = run.wait()
    took = time.monotonic() - began
    assert ended.code in (2, 3), ended.output
    assert re.search(rf"^(E +)?{name}: ", ended.output, re.MULTILINE), ended.output
    for secret in ("NOMAD_TOKEN", "HEADSCALE_API_KEY", "OBSERVER_TOKEN"):
        if len(settings.get(secret, "")) > 8:
            assert settings[secret] not in ended.output
    assert not stand_in.left()
    # Of pytest's own start some two seconds are spent, and more on a machine that has much to do.
    assert took < 30


def test_a_token_that_lacks_a_right(stand_in: StandIn, tmp_path: Path) -> None:
    """A policy without `alloc-exec`: known before anything is made."""
    rules = 'namespace "default" { capabilities = ["list-jobs", "read-job", "submit-job", "read-logs"] }'
    token = stand_in.administrator.client_token("too-little", rules)
    run = LiveRun(
        stand_in,
        tmp_path,
        "-k",
        "egress-worker and address",
        settings={**stand_in.settings(), "NOMAD_TOKEN": token},
    )
    ended = run.wait()
    assert ended.code == 2, ended.output
    assert "NOMAD_TOKEN: lacks rights in namespace default: alloc-exec" in ended.output
    assert 'node { policy = "read" }' in ended.output
    assert not stand_in.left()
