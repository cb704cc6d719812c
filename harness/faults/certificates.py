"""What befalls the control server's certificate."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from harness.errors import LabError
from harness.faults.fault import SHOWN_SECONDS, Fault, Scene
from harness.lab.topology import Role
from harness.management.command import CommandResult
from harness.management.waiting import wait_until

_PORT = 8443
_PEM = "/run/expired.pem"
_EXPIRED = 60
"""curl's exit code for a certificate that it does not trust (curl(1))."""
# Whoever asks for the control server is led to the router itself, from the next packet on: a connection that
# is already there is reset, as nobody there knows it.
_TABLE = """
table inet expired {
    chain arriving {
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr %(v4)s tcp dport 443 dnat ip to %(router4)s:%(port)d
        ip6 daddr %(v6)s tcp dport 443 dnat ip6 to [%(router6)s]:%(port)d
    }
}
"""


_END = """
rm -f "$1"
for process in $(cat "/proc/$0/task/$0/children" 2>/dev/null) "$0"; do kill -KILL "$process" 2>/dev/null; done
while [ -n "$(ss -Htn state all exclude listening exclude time-wait "sport = :$2")" ]; do sleep 0.02; done
"""


class Expired(Fault):
    """The control server's certificate has run out, so that nobody may trust it any more."""

    name = "certificate-expired"
    title = "the control server's certificate had expired"

    def inject(self) -> str:
        """Answer in its place, with a certificate of its name that ended yesterday."""
        control = self.scene.lab.topology.only(Role.CONTROL)
        self.scene.kept.enter_context(_in_place_of_control(self.scene))
        return f"whoever connects to {control.names[0]} finds a certificate that ended yesterday"

    def shown(self) -> str:
        """The node does not trust it."""
        url = f"https://{self.scene.lab.topology.only(Role.CONTROL).names[0]}/health"
        host = self.scene.lab.node.host

        def refused() -> CommandResult | None:
            asked = host.run("curl", "-sS", "-o", "/dev/null", url)
            return asked if asked.exit_code == _EXPIRED else None

        said = wait_until(
            refused,
            seconds=SHOWN_SECONDS,
            what="the node finds the certificate expired",
        )
        return f"curl on the node says: {said.stderr.strip().splitlines()[0]}"

    def heal(self) -> str:
        """Let the control server answer itself."""
        self.scene.kept.close()
        return "the control server answers with its own certificate again"


@contextmanager
def _in_place_of_control(scene: Scene) -> Iterator[None]:
    topology, router = scene.lab.topology, scene.lab.router.host
    control = topology.only(Role.CONTROL)
    pem = scene.lab.certificate(control.names, not_after=datetime.now(UTC) - timedelta(days=1))
    router.run("sh", "-c", 'umask 077; cat > "$0"', _PEM, stdin=pem).expect()
    listen = f"OPENSSL-LISTEN:{_PORT},pf=ip6,ipv6only=0,fork,reuseaddr,cert={_PEM},verify=0"
    stream = router.open("sh", "-c", f"echo $$; exec socat {listen} SYSTEM:true")
    pid = stream.read(64, SHOWN_SECONDS).decode().strip()
    values = {
        "v4": control.v4[0],
        "v6": control.v6[0],
        "router4": topology.internet.v4,
        "router6": topology.internet.v6,
        "port": _PORT,
    }
    try:
        if not pid.isdecimal():
            raise LabError("nobody answers in the control server's place", log=pid)
        router.wait_for_listener(
            f"TCP:{topology.internet.v4}:{_PORT}", seconds=SHOWN_SECONDS, what="the expired one is shown"
        )
        router.run("nft", "-f", "-", stdin=(_TABLE % values).encode()).expect()
        yield
    finally:
        # First those who answer in its place, while what they still send bears the control server's address.
        router.run("timeout", "10", "sh", "-c", _END, pid, _PEM, str(_PORT)).expect()
        router.run("nft", "delete", "table", "inet", "expired")
        stream.close()


FAULTS: tuple[type[Fault], ...] = (Expired,)
