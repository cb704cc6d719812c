"""Asks the backends of a job whose tasks have no network of the node's, in the network that they have."""

import re
from collections.abc import Iterable

from harness.lab.running_host import RunningHost
from harness.ledger.facts import AttemptSeen, Way

_LINE = re.compile(r"^asked (\S+) (\d+) (\d+) (\d+)$", re.MULTILINE)

# Only what the container's own processes listen on: in a network that it shares, others listen too.
_ASK = r"""
for name; do
    pid=$(docker inspect --format '{{.State.Pid}}' "$name" 2> /dev/null) || continue
    nsenter -t "$pid" -n ss -Hltnp | while read -r _ _ _ address _ holders; do
        port=${address##*:}
        for holder in $(printf '%s' "$holders" | grep -o 'pid=[0-9]*' | cut -d = -f 2); do
            cmp -s "/proc/$holder/cgroup" "/proc/$pid/cgroup" || continue
            code=0
            status=$(nsenter -t "$pid" -n curl --noproxy '*' --silent --max-time 5 --output /dev/null \
                --write-out '%{http_code}' "http://127.0.0.1:$port/") || code=$?
            echo "asked $name $port $code $status"
        done
    done
done
"""


def ask_in_place(node: RunningHost, containers: Iterable[str]) -> list[AttemptSeen]:
    """Ask each TCP port that a container listens on, from within the container's network.

    Args:
        node: the Nomad node, whose engine runs them.
        containers: their names; one that does not run is asked for nothing.

    Returns:
        What came of it, named by the container. Raises LabError when the node cannot ask.
    """
    said = node.run("sh", "-c", _ASK, "ask", *containers).expect().stdout
    return [
        AttemptSeen(
            by=node.name,
            way=Way.LOOPBACK,
            target=f"http://127.0.0.1:{port}/ in {name}",
            named=name,
            port=int(port),
            promise=0,
            # curl(1): 7 is a connection that was refused, 28 one that took too long.
            connected=int(code) not in {7, 28},
            status=int(status),
        )
        for name, port, code, status in _LINE.findall(said)
    ]
