"""Which of an engine's events decides a job."""

import pytest

from harness.job.rendering import Rendered
from harness.probes.turning_point import turned_allocation

ALLOCATION = "b5a3f1d2-0000-4000-8000-000000000001"
JOB = Rendered({}, frozenset({"tailscale"}), frozenset({"egress-guard"}), frozenset({"worker"}))


@pytest.mark.parametrize(
    ("action", "name", "code", "turns"),
    [
        ("start", f"worker-{ALLOCATION}", None, True),
        ("start", f"other-worker-{ALLOCATION}", None, False),
        ("start", f"tailscale-{ALLOCATION}", None, False),
        ("start", f"egress-guard-{ALLOCATION}", None, False),
        ("die", f"egress-guard-{ALLOCATION}", "15", True),
        ("die", f"egress-guard-{ALLOCATION}", "0", False),
        ("die", f"worker-{ALLOCATION}", "1", False),
        ("die", f"tailscale-{ALLOCATION}", "1", False),
        ("start", "worker", None, False),
    ],
)
def test_a_worker_that_starts_and_a_guard_that_refuses(
    action: str, name: str, code: str | None, turns: bool
) -> None:
    attributes = {"name": name, **({"exitCode": code} if code else {})}
    event = {"Action": action, "Actor": {"Attributes": attributes}}
    assert turned_allocation(event, JOB) == (ALLOCATION if turns else "")
