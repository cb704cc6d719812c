"""The positive controls of egress: the node itself goes out directly, and the observers must show it."""

from concurrent.futures import ThreadPoolExecutor

from harness.lab.lab import Lab
from harness.lab.topology import Role
from harness.ledger.episodes import CONTROL
from harness.ledger.ledger import Ledger
from harness.probes import recording, watch
from harness.probes.watch import Mark

# One request over each of TCP, UDP, HTTP and HTTPS, over IPv4 and IPv6, with nothing between.
_SCRIPT = """
set -eu
go_out() { # FAMILY
    family=$1
    curl --noproxy '*' -sSf -o /dev/null "-$family" "http://$NAME:$HTTP/?token=control-http-$family"
    curl --noproxy '*' -sSf -o /dev/null "-$family" "https://$NAME:$HTTPS/?token=control-https-$family"
    echo "control-tcp-$family" | socat -t 2 - "TCP$family:$NAME:$TCP" > /dev/null
    echo "control-udp-$family" | socat -t 0.2 - "UDP$family:$NAME:$UDP" > /dev/null
}
go_out 4 &
go_out 6
wait "$!"
# The last acknowledgement of a connection must not fall into the next episode.
# Told by its addresses: a job that has just ended may leave others half closed for a minute.
# By itself in a line, where its failure ends this: as a condition, an error would read as no connections.
connections() { ss -Htn state all exclude listening exclude time-wait "$TO_ECHO"; }
left=$(connections)
while [ -n "$left" ]; do
    sleep 0.01
    left=$(connections)
done
"""


def _to(address: str) -> str:
    """A filter of ss for what goes there: without brackets it takes the end of an IPv6 address for a port."""
    return f"dst [{address}]" if ":" in address else f"dst {address}"


def go_out_directly(lab: Lab, ledger: Ledger, subject: str, begin: Mark, pool: ThreadPoolExecutor) -> Mark:
    """Send the control traffic from the Nomad node and write down what the observers saw of it.

    Gives the mark at its end. Raises LabError when the traffic cannot be sent: then no silence of an
    observer means anything.
    """
    echo = lab.topology.only(Role.ECHO)
    environment = {
        "NAME": echo.names[0],
        "TO_ECHO": " or ".join(map(_to, sorted(echo.addresses))),
        **{s.upper(): str(echo.port(s)) for s in ("http", "https", "tcp", "udp")},
    }
    lab.node.host.run("sh", "-c", _SCRIPT, environment=environment).expect()
    seen, end = watch.since(lab, begin, pool)
    recording.write(ledger, seen, subject=subject, episode=CONTROL)
    return end
