"""The plain pattern, kept as data: what is made of egress-worker is that pattern, and no more."""

from pathlib import Path

import pytest

from tests.faults.patterns import PLAIN
from tests.modules.job import render
from tests.modules.snippet import differences
from tests.robustness.copies import copy

pytestmark = pytest.mark.lab

GIVEN = {"exit_node": "exit-a"}


def test_it_differs_in_who_has_the_proxies_and_in_nothing_else(tmp_path: Path) -> None:
    folder = copy(tmp_path, PLAIN.of, *PLAIN.edit)
    plain = render(folder / f"{PLAIN.of}.nomad.hcl", GIVEN)
    assert differences(plain, render(Path(f"examples/{PLAIN.of}/{PLAIN.of}.nomad.hcl"), GIVEN)) == {
        "gate.Config.args.1": ("${NOMAD_TASK_DIR}/health.py", "${NOMAD_TASK_DIR}/gate.py"),
        "tailscale.Env.TS_HTTP_PORT": (None, ""),
        "tailscale.Env.TS_SOCKS_PORT": (None, ""),
    }
