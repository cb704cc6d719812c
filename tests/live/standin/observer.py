"""What runs on the public host of the observer: the one place to change when it is another program."""

import secrets
from pathlib import Path

import trustme

from harness.lab import host_plans
from harness.lab.host_plans import Inhabitant
from harness.lab.running_host import FILES, File, HostPlan
from harness.run import places
from tests.live.standin.hosts import OBSERVER, TOPOLOGY

IMAGE = "host"
_HOST = TOPOLOGY.host(OBSERVER)
_CA = "observer-ca.pem"


class Observer:
    """The observer (docker/observer) as a person put it on a host, with a certificate by their own CA."""

    def __init__(self) -> None:
        """Make up its token, and a CA that nobody but its user knows."""
        self._token = secrets.token_hex(32)
        self._ca = trustme.CA(organization_name="whoever put the observer there")

    def plan(self, image: str, *, router: str) -> HostPlan:
        """The observer's host."""
        issued = self._ca.issue_cert(_HOST.names[0])
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        programs = sorted((places.fixtures() / "echo").glob("*.py"))
        ports = (f"--{service}={_HOST.port(service)}" for service in ("http", "https", "tcp", "udp"))
        files = ("certificate", "tls.pem"), ("key", "tls.key"), ("token-file", "token")
        inhabitant = Inhabitant(
            command=(
                *("python3", f"{FILES}/observer.py", *ports),
                *(f"--{option}={FILES}/{name}" for option, name in files),
            ),
            files=(
                *(File(program.name, program.read_bytes()) for program in programs),
                File("tls.pem", chain),
                File("tls.key", issued.private_key_pem.bytes(), 0o600),
                File("token", self._token.encode(), 0o600),
            ),
        )
        return host_plans.inhabited(_HOST, inhabitant, image, router=router, volumes={})

    def settings(self, folder: Path) -> dict[str, str]:
        """What a person who put it there would write into .env; the CA's certificate goes into `folder`."""
        certificate = folder / _CA
        certificate.write_bytes(self._ca.cert_pem.bytes())
        return {
            "CHECK_URL": f"http://{_HOST.names_v4[0]}/",
            "CHECK_URL_V6": f"http://{_HOST.names_v6[0]}/",
            "OBSERVER_URL": f"https://{_HOST.names[0]}",
            "OBSERVER_TOKEN": self._token,
            "OBSERVER_CACERT": str(certificate),
        }
