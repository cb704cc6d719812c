"""scripts/runtime/smoke-cluster.sh on a cluster that exists: the lab's, by the nomad command alone."""

from collections.abc import Iterator

import pytest

from harness.lab.lab import Lab
from harness.management.command import CommandResult
from tests.docs.places import COPY, Shell, give_key, in_node

pytestmark = pytest.mark.lab

SECRETS = "nomad/jobs/notailcar/example/secrets"


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    made = in_node(lab)
    yield made
    assert made.run("nomad job status").stdout == "No running jobs\n"


def smoke(shell: Shell, lab: Lab, arguments: str = "", **settings: str) -> CommandResult:
    given = {
        "TAILNET_AUTH_KEY_FILE": "key.txt",
        "TAILNET_LOGIN_SERVER": lab.control.login_server,
        "TAILNET_SERVE_SCHEME": "http",
        "TAILNET_DOMAIN": lab.topology.tailnet_domain,
        "CHECK_URL": "http://echo.lab.test/",
        "EXPECTED_EGRESS": ",".join(sorted(lab.topology.host("exit-a").addresses)),
        **settings,
    }
    return shell.run(f"./scripts/runtime/smoke-cluster.sh {arguments}", **given)


def test_a_batch_job_that_completes(shell: Shell, lab: Lab) -> None:
    key = give_key(lab, "tag:nomad-worker")
    done = smoke(shell, lab)
    assert done.exit_code == 0, done.stdout + done.stderr
    assert "egress-guard: passed: exit node exit-a, observed egress address " in done.stdout
    assert "PASSED by its own word" in done.stdout
    assert "not shown by this" in done.stdout
    assert key not in done.stdout + done.stderr
    assert shell.run(f"nomad var get -out=json {SECRETS}").exit_code != 0, "the key stayed behind"


def test_a_service_that_gets_healthy(shell: Shell, lab: Lab) -> None:
    give_key(lab, "tag:nomad-service")
    done = smoke(
        shell, lab, "private-http-service -var check_interval=1s -var min_healthy_time=0s", EXPECTED_EGRESS=""
    )
    assert done.exit_code == 0, done.stdout + done.stderr
    assert "serve: published: http/" in done.stdout
    assert "private-http-service is healthy" in done.stdout


def test_a_guard_that_refuses(shell: Shell, lab: Lab) -> None:
    done = smoke(shell, lab, "egress-worker -var guard_restarts=0", EXPECTED_EGRESS="203.0.113.66")
    assert done.exit_code == 1, done.stdout + done.stderr
    assert "egress-guard: refused: the observed egress address is " in done.stdout
    assert "task egress-guard failed; its last words:" in done.stdout
    assert "FAILED after" in done.stdout


def test_a_worker_that_fails(shell: Shell, lab: Lab) -> None:
    done = smoke(shell, lab, "egress-worker -var worker_urls=http://nowhere.lab.test/")
    assert done.exit_code == 1, done.stdout + done.stderr
    assert "egress-guard: passed" in done.stdout
    assert "task worker failed; its last words:" in done.stdout


def test_a_job_that_no_client_takes(shell: Shell, lab: Lab) -> None:
    done = smoke(shell, lab, "egress-worker -var datacenters=moon", SMOKE_SECONDS="2")
    assert done.exit_code == 1
    assert "came to nothing in 2 s" in done.stdout
    assert "Placement Failure" in done.stdout
    assert "No nodes were eligible for evaluation" in done.stdout


def test_a_key_that_is_there_is_left_alone(shell: Shell, lab: Lab) -> None:
    write = (
        f'printf \'path = "{SECRETS}"\\nitems {{ TS_AUTHKEY = "%s" }}\\n\' "$(cat key.txt)" |'
        " nomad var put -in=hcl -out=none -"
    )
    shell.run(write).expect()
    try:
        done = smoke(shell, lab, TAILNET_AUTH_KEY_FILE="")
        assert done.exit_code == 0, done.stdout + done.stderr
        assert "is there, and is used as it is" in done.stdout
        shell.run(f"nomad var get -out=none {SECRETS}").expect()
    finally:
        shell.run(f"nomad var purge {SECRETS}").expect()


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        ("", {"NOMAD_ADDR": "http://127.0.0.1:1"}, "no cluster answers"),
        ("", {"TAILNET_AUTH_KEY_FILE": ""}, "TAILNET_AUTH_KEY_FILE is not set"),
        ("", {"TAILNET_AUTH_KEY_FILE": "/dev/null"}, "no auth key in /dev/null"),
        ("", {"SMOKE_SECONDS": "soon"}, "SMOKE_SECONDS=soon is not a whole number"),
        ("moon", {}, "there is no examples/moon/moon.nomad.hcl; examples are: agent-worker-egress "),
        ("../x", {}, "is no name of a folder in examples/"),
        ("egress-worker -var no_such_variable=1", {}, "nomad cannot read examples/egress-worker"),
    ],
)
def test_nothing_is_run(shell: Shell, lab: Lab, arguments: str, settings: dict[str, str], said: str) -> None:
    done = smoke(shell, lab, arguments, **settings)
    assert done.exit_code == 2, done.stdout + done.stderr
    assert said in done.stderr


def test_a_job_that_is_there_is_not_touched(shell: Shell, lab: Lab) -> None:
    job = """
    job "egress-worker" {
      group "theirs" {
        count = 0
        task "theirs" {
          driver = "docker"
          config {
            image = "python:3.13-slim"
          }
        }
      }
    }
    """
    shell.host.run("sh", "-c", f"cat >{COPY}/other.hcl", stdin=job.encode()).expect()
    shell.run("nomad job run -detach other.hcl").expect()
    try:
        done = smoke(shell, lab)
        assert done.exit_code == 2
        assert "a job egress-worker is there already" in done.stderr
        shell.run("nomad job inspect egress-worker").expect()
    finally:
        shell.run("nomad job stop -purge egress-worker").expect()
