"""Where the commands of documents run: the lab's node with a copy of the repository, and this machine."""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.job.example import EXAMPLES_KEY
from harness.lab.lab import Lab
from harness.lab.running_host import FILES, RunningHost
from harness.management.command import CommandResult
from harness.management.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
COPY = "/srv/notailcar"
"""Where the node has its copy of the repository, from which a person's commands are given."""
_COPIED = ("acl", "examples", "modules", "scripts", "env.template")
_ACL_AGENT = "TCP:127.0.0.1:14646"
_START = (
    "echo $$ >/run/nomad-acl.pid; exec nomad agent -dev -config /srv/acl.hcl >/var/log/nomad-acl.log 2>&1"
)


@dataclass(frozen=True)
class Shell:
    """A person's shell in a host of the lab."""

    host: RunningHost
    folder: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    entered_by: tuple[str, ...] = ()
    """A command that runs the shell."""

    def run(self, script: str, **environment: str) -> CommandResult:
        """Run a script to its end, whatever it comes to."""
        return self.host.run(
            *self.entered_by,
            "sh",
            "-c",
            f'cd {self.folder} && eval "$0"',
            script,
            environment={"NOMAD_CLI_SHOW_HINTS": "0", **self.environment, **environment},
        )


def in_node(lab: Lab) -> Shell:
    """A shell in the node, with a copy of the repository, and fresh auth keys in key.txt, service-key.txt."""
    host = lab.node.host
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in _COPIED:
            tar.add(REPOSITORY / name, name)
    host.run("sh", "-c", f"mkdir -p {COPY} && tar -x -C {COPY}", stdin=packed.getvalue()).expect()
    # A test that failed may have left it.
    host.run("nomad", "var", "purge", EXAMPLES_KEY.variable)
    give_key(lab, "tag:nomad-worker")
    give_key(lab, "tag:nomad-service", "service-key.txt")
    return Shell(host, COPY)


def in_host(lab: Lab, name: str) -> Shell:
    """A shell in another host of the lab."""
    return Shell(lab.host(name), environment={"HEADSCALE_CONFIG": f"{FILES}/config.yaml"})


def give_key(lab: Lab, tag: str, file: str = "key.txt") -> str:
    """Put a new auth key of this tag into a file of the node's copy; gives it too."""
    key = lab.control.client.create_key(tags=(tag,), ephemeral=True, reusable=True)
    lab.node.host.run("sh", "-c", f"umask 077 && cat >{COPY}/{file}", stdin=key.encode()).expect()
    return key


@contextmanager
def in_nodes_network(lab: Lab) -> Iterator[Shell]:
    """A shell in the node's network, with the router's programs: nft is one that the node does not have."""
    # The way in is a process of our own: any other of the node's may end meanwhile.
    stays = lab.node.host.open("sh", "-c", "echo $$; exec cat")
    try:
        process = stays.read(64, 10).decode().strip()
        yield Shell(lab.router.host, entered_by=("nsenter", "--target", process, "--net"))
    finally:
        stays.close()


@contextmanager
def with_acls(lab: Lab) -> Iterator[Shell]:
    """A shell whose Nomad is a second agent in the node, with ACLs on, and whose token may do everything."""
    host = in_node(lab).host
    config = (Path(__file__).parent / "acl.hcl").read_bytes()
    host.run("sh", "-c", "cat >/srv/acl.hcl", stdin=config).expect()
    agent = host.open("sh", "-c", _START)
    try:
        host.wait_for_listener(_ACL_AGENT, seconds=30, what="the agent with ACLs listens")
        shell = Shell(host, COPY, {"NOMAD_ADDR": "http://127.0.0.1:14646"})
        made = wait_until(
            lambda: ((done := shell.run("nomad acl bootstrap -json")).exit_code == 0 and done.stdout) or None,
            seconds=20,
            what="the agent with ACLs has a leader, and gives its first token",
        )
        token: str = json.loads(made)["SecretID"]
        shell = Shell(host, COPY, {**shell.environment, "NOMAD_TOKEN": token})
        wait_until(
            lambda: (
                shell.run("nomad node status -self -json | grep -q '\"Healthy\": true'").exit_code == 0
                or None
            ),
            seconds=20,
            what="its client is ready",
        )
        yield shell
    finally:
        # A dev agent that ends takes its allocations with it.
        host.run("sh", "-c", "kill $(cat /run/nomad-acl.pid)")
        agent.close()
