"""The router `internet`: makes the wires, and holds the observers that sit outside of what is tested."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.errors import LabError
from harness.lab import flowbook, query_log, wiring
from harness.lab.flowbook import FlowBook
from harness.lab.running_host import FILES, File, HostPlan, RunningHost
from harness.lab.topology import Role, Topology
from harness.ledger.facts import CaptureClosed, NameAsked
from harness.management.exec_stream import ExecStream
from harness.run import places

_QUERIES = "/var/log/queries.log"
_CAPTURE_READY_SECONDS = 5.0
# In immediate mode each packet takes a whole slot of the longest that may come (packet(7), TPACKET_V2): as
# tcpdump has it by default, eight slots in all, so that a burst is lost where the processor is busy.
_NOTHING_LOST = "-s 65535 -B 32768"

_FORWARDING = {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.disable_ipv6": "0",
    "net.ipv6.conf.default.disable_ipv6": "0",
    "net.ipv6.conf.all.forwarding": "1",
    # Whether a packet is for a connection of its own, a router need not ask before it looks for the way.
    "net.ipv4.ip_early_demux": "0",
}


def scanning(topology: Topology) -> str:
    """The wires of bystanders, who scan, as a command for nft(8); nothing where there are none."""
    wires = [f'"{wiring.device(host.name)}"' for host in topology.with_role(Role.BYSTANDER)]
    return f"add element inet flowbook scanning {{ {', '.join(wires)} }}\n" if wires else ""


def plan(topology: Topology, image: str) -> HostPlan:
    """The router's container: no network but what it makes, and the right to reach into its hosts'."""
    fixtures = places.fixtures() / "router"
    wires = [wiring.wire(host) for host in topology.hosts]
    return HostPlan(
        name=topology.internet.name,
        image=image,
        command=(f"{FILES}/start.sh",),
        files=(
            *(File(name, (fixtures / name).read_bytes(), 0o755) for name in ("start.sh", "wire.sh")),
            *(File(name, (fixtures / name).read_bytes()) for name in ("flowbook.nft", "dnsmasq.conf")),
            File("scanning.nft", scanning(topology).encode()),
            File("zone.conf", wiring.zone(topology).encode()),
            File("etc/hosts", wiring.LOCALHOST.encode()),
            File("etc/resolv.conf", wiring.resolvers(topology).encode()),
            File("router", wiring.router_batch(topology).encode()),
            *(File(f"wires/{w.host}.router", w.router_batch.encode()) for w in wires),
            *(File(f"wires/{w.host}.host", w.host_batch.encode()) for w in wires),
        ),
        options={
            **wiring.UNWIRED,
            "entrypoint": [],
            "cap_add": ["NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"],
            "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
            "sysctls": _FORWARDING,
        },
    )


class Capture:
    """Owns one tcpdump on a host's wire, at the router's end. Ready when made, complete when closed."""

    def __init__(self, router: RunningHost, host: str, packet_filter: str, name: str) -> None:
        """Start capturing what passes `packet_filter` (pcap-filter(7)). Raises LabError if that fails."""
        self._router = router
        self._filter = packet_filter
        self.path = f"/var/log/{name}.pcap"
        command = (
            f"echo $$; exec tcpdump -n -U -i {wiring.device(host)} -w {self.path} {_NOTHING_LOST} "
            '--immediate-mode "$0" 2>&1'
        )
        self._stream: ExecStream = router.open("sh", "-c", command, packet_filter)
        self._said = ""
        end = time.monotonic() + _CAPTURE_READY_SECONDS
        while "listening on" not in self._said:
            read = self._stream.read(4096, timeout=max(0.01, end - time.monotonic()))
            if not read:
                raise LabError(f"the capture on the wire of {host} did not start", log=self._said)
            self._said += read.decode()
        self._pid = self._said.split("\n", 1)[0].strip()

    def close(self) -> tuple[CaptureClosed, bytes]:
        """End the capture; its own account of what it took and what it lost, and the pcap file's content."""
        self._router.run("sh", "-c", 'kill -INT "$0"', self._pid).expect()
        while read := self._stream.read(4096, timeout=_CAPTURE_READY_SECONDS):
            self._said += read.decode()
        self._stream.close()
        captured = re.search(r"(\d+) packets? captured", self._said)
        dropped = re.search(r"(\d+) packets? dropped by kernel", self._said)
        if not (captured and dropped):
            raise LabError("the capture died before its end", log=self._said)
        content = self._router.fetch(self.path)
        return CaptureClosed(self._filter, int(captured[1]), int(dropped[1]), Path(self.path).name), content


class Dropping:
    """What a router drops while it is told to."""

    def __init__(self, router: RunningHost) -> None:
        """Look at this router."""
        self._router = router

    def packets(self) -> int:
        """How many packets were dropped so far."""
        listed = self._router.run("nft", "list", "counter", "inet", "fault", "dropped").expect().stdout
        found = re.search(r"packets (\d+)", listed)
        if not found:
            raise LabError("the router does not say how many packets it dropped", log=listed)
        return int(found[1])


class Router:
    """The lab's middle: wires and observers, over the router's container (which the lab owns)."""

    def __init__(self, host: RunningHost) -> None:
        """Speak with a router that was started."""
        self.host = host

    def join(self, hosts: Sequence[str]) -> None:
        """Make the wires of these hosts; their first processes go on."""
        self.host.run(f"{FILES}/wire.sh", *hosts).expect()

    @contextmanager
    def dropping(self, *matches: str) -> Iterator["Dropping"]:
        """For the time of the block, packets that a match of nft(8) describes go nowhere, once counted."""
        rules = "\n".join(f"{match} counter name dropped drop" for match in matches)
        hooks = "".join(
            f"chain {hook} {{ type filter hook {hook} priority filter; policy accept;\n{rules}\n}}\n"
            for hook in ("forward", "input")
        )
        table = f"table inet fault {{ counter dropped {{ }}\n{hooks}}}\n"
        self.host.run("nft", "-f", "-", stdin=table.encode()).expect()
        try:
            yield Dropping(self.host)
        finally:
            self.host.run("nft", "delete", "table", "inet", "fault").expect()

    def flows(self) -> FlowBook:
        """The flow book as it stands."""
        return flowbook.read(
            self.host.run("nft", "--json", "list", "table", "inet", "flowbook").expect().stdout
        )

    def queries_mark(self) -> int:
        """How far the query log has come, in bytes."""
        return int(self.host.run("stat", "-c", "%s", _QUERIES).expect().stdout)

    def queries(self, mark: int) -> tuple[list[NameAsked], int]:
        """Every name asked for since the mark, and the next mark."""
        text = self.host.run("tail", "-c", f"+{mark + 1}", _QUERIES).expect().stdout
        return list(query_log.read(text)), mark + len(text.encode())
