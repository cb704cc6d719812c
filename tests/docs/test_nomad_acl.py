"""acl/example-nomad-policy.hcl on a Nomad with ACLs on: what it lets, and what it does not.

That a job's own workload identity reads the key by it, and waits without it, docs/nomad-variables.md shows.
"""

from collections.abc import Iterator

import pytest

from harness.job.example import EXAMPLES_KEY
from harness.lab.lab import Lab
from tests.docs import places
from tests.docs.places import Shell

pytestmark = pytest.mark.lab

SECRETS_PATH = EXAMPLES_KEY.variable
OTHER = "nomad/jobs/notailcar/other"


@pytest.fixture(scope="module")
def manager(lab: Lab) -> Iterator[Shell]:
    """A shell that may do everything, beside two Variables of which the policy names one."""
    with places.with_acls(lab) as shell:
        for path in (SECRETS_PATH, OTHER):
            shell.run(f"nomad var put -out=none {path} ITEM=value").expect()
        yield shell


@pytest.fixture(scope="module")
def reader(manager: Shell) -> Shell:
    """A shell whose token has the policy, and nothing besides."""
    manager.run("nomad acl policy apply reader acl/example-nomad-policy.hcl").expect()
    created = "nomad acl token create -type=client -policy=reader -t '{{ .SecretID }}'"
    token = manager.run(created).expect().stdout.strip()
    return Shell(manager.host, manager.folder, {**manager.environment, "NOMAD_TOKEN": token})


def test_it_lets_the_key_be_read(reader: Shell) -> None:
    assert reader.run(f"nomad var get -item=ITEM {SECRETS_PATH}").expect().stdout.strip() == "value"


@pytest.mark.parametrize(
    "command",
    [
        f"nomad var get -item=ITEM {OTHER}",
        f"nomad var put -force {SECRETS_PATH} ITEM=another",
        f"nomad var purge {SECRETS_PATH}",
        f"nomad var get -item=ITEM -namespace=other {SECRETS_PATH}",
        "nomad node status",
    ],
)
def test_it_lets_nothing_else_be_done(manager: Shell, reader: Shell, command: str) -> None:
    manager.run("nomad namespace apply other").expect()
    refused = reader.run(command)
    assert refused.exit_code != 0
    assert "Permission denied" in refused.stdout + refused.stderr
    assert manager.run(f"nomad var get -item=ITEM {SECRETS_PATH}").expect().stdout.strip() == "value"


def test_who_has_no_token_reads_nothing(reader: Shell) -> None:
    nobody = Shell(reader.host, reader.folder, {**reader.environment, "NOMAD_TOKEN": ""})
    assert nobody.run(f"nomad var get -item=ITEM {SECRETS_PATH}").exit_code != 0
