"""A run to look at: egress-worker proven, a job that leaks refuted, a third that could not be judged."""

from pathlib import Path

from harness.claims.verdict import Outcome, Verdict
from harness.lab import topology_file
from harness.lab.topology import Topology
from harness.ledger import facts as f
from harness.ledger.ledger import Observation
from harness.report.entries import ClaimEntry, to_entry
from harness.report.record import RunRecord, Stage
from harness.run import places

BEGAN = 1_795_500_000.0

NODE, CONTROL, ECHO = "203.0.113.10", "198.51.100.10", "198.18.80.80"
EXIT_A, EXIT_B, CLIENT, STRANGER = "198.51.100.20", "198.51.100.21", "198.51.100.30", "198.51.100.31"
RESOLVER, OUTSIDER = "198.51.100.53", "198.18.9.9"
NODE6, ECHO6 = "2001:db8:113::10", "2001:db8:80::80"


def topology() -> Topology:
    return topology_file.load(Path(places.fixtures()) / "topology.toml")


def flow(  # noqa: PLR0917  a row of a table
    wire: str, source: str, destination: str, protocol: str, port: int, packets: int
) -> f.FlowSeen:
    return f.FlowSeen(wire, source, destination, protocol, port, packets, packets * 148)


SOUND = (
    flow("node", NODE, EXIT_A, "udp", 41641, 412),
    flow("exit-a", EXIT_A, NODE, "udp", 40112, 398),
    flow("node", NODE, CONTROL, "tcp", 443, 61),
    flow("control", CONTROL, NODE, "tcp", 44120, 58),
    flow("node", NODE, CONTROL, "udp", 3478, 6),
    flow("control", CONTROL, NODE, "udp", 40112, 6),
    flow("node", NODE, RESOLVER, "udp", 53, 2),
    flow("node", NODE6, "ff02::16", "icmpv6", 0, 4),
    flow("exit-a", EXIT_A, ECHO, "tcp", 80, 60),
    flow("exit-a", EXIT_A, ECHO, "tcp", 443, 108),
    flow("exit-a", EXIT_A, ECHO, "udp", 7, 12),
    flow("echo", ECHO, EXIT_A, "tcp", 51000, 150),
    flow("echo", ECHO, EXIT_A, "udp", 51001, 12),
    flow("exit-a", EXIT_A, CONTROL, "tcp", 443, 80),
    flow("exit-a", EXIT_A, CONTROL, "udp", 3478, 6),
    flow("exit-b", EXIT_B, CONTROL, "tcp", 443, 77),
    flow("exit-b", EXIT_B, CONTROL, "udp", 3478, 6),
    flow("client", CLIENT, CONTROL, "tcp", 443, 70),
    flow("stranger", STRANGER, CONTROL, "tcp", 443, 66),
    flow("exit-a", EXIT_A, RESOLVER, "udp", 53, 9),
)
LEAKS = (
    flow("node", NODE, ECHO, "tcp", 443, 96),
    flow("node", NODE, ECHO, "udp", 7, 24),
    flow("node", NODE6, ECHO6, "tcp", 443, 31),
    flow("echo", ECHO, NODE, "tcp", 40220, 90),
    flow("node", NODE, "192.0.2.77", "udp", 123, 3),
    flow("node", NODE, OUTSIDER, "icmp", 0, 3),
)


class Book:
    """Numbers observations as a ledger does."""

    def __init__(self, subject: str) -> None:
        self.subject, self.number = subject, 0

    def see(self, fact: f.Fact, observer: str = "router", episode: str = "as-it-stands") -> Observation:
        self.number += 1
        return Observation(
            self.number, BEGAN + 4 + self.number * 0.137, observer, self.subject, episode, fact
        )


def request(peer: str, token: str, protocol: str = "https") -> f.RequestSeen:
    return f.RequestSeen(protocol, peer, 51000, ECHO, token, "curl/8", "GET https://echo.lab.test/who")


def proven() -> list[ClaimEntry]:
    book = Book("egress-worker")
    control = book.see(f.FlowSeen("outsider", OUTSIDER, ECHO, "tcp", 80, 12, 1410), episode="control")
    requests = tuple(book.see(request(EXIT_A, f"w-{i}"), "echo") for i in range(12))
    flows = tuple(book.see(x) for x in SOUND if x.wire == "node")
    scans = tuple(
        book.see(f.SecretScan(place, n, (), "a known value", True), "secrets")
        for place, n in (("task logs", 412), ("the job as registered", 1), ("the process list", 63))
    )
    guard = (
        book.see(
            f.TaskEventSeen("7d3ab1c0", "egress-guard", "Terminated", "exit 3: no exit node", 3, BEGAN + 9),
            "nomad",
            "exit-absent",
        ),
        book.see(f.LieTold("192.0.2.66", 2), "echo", "address-wrong"),
        book.see(
            f.AllocationSeen(
                "7d3ab1c0-1111",
                "egress-worker",
                "failed",
                "",
                (
                    f.TaskEnd("egress-guard", "dead", True, True, 0),
                    f.TaskEnd("worker", "dead", False, False, 0),
                ),
            ),
            "nomad",
            "address-wrong",
        ),
    )
    tailnet = tuple(
        book.see(
            f.TailnetSeen(
                moment,
                (
                    f.TailnetNode(
                        "4", "egress-worker-7d3a", ("100.64.0.9",), ("tag:nomad-worker",), "", True, True
                    ),
                )
                if moment is f.Moment.RUNNING
                else (),
            ),
            "headscale",
        )
        for moment in f.Moment
    )
    verdicts = {
        "egress.address": (
            "12 requests over http, https, tcp and udp, all from exit-a (198.51.100.20).",
            requests,
            3.1,
        ),
        "egress.no_direct_packets": (
            "481 packets left the node's wire: to control, exit-a and resolver only.",
            flows,
            0.2,
        ),
        "egress.dns": ("The resolver was asked for headscale.lab.test and nothing else.", flows[-2:], 0.1),
        "egress.guard_holds": (
            "With no exit, and with a wrong address, the worker never started.",
            guard,
            6.4,
        ),
        "identity.tagged": ("egress-worker-7d3a carried tag:nomad-worker, ephemeral.", tailnet[1:2], 0.0),
        "identity.removed_after_stop": ("The node was gone 0.4 s after the stop.", tailnet, 0.4),
        "secrets.not_exposed": ("3 places searched, the key is in none of them.", scans, 0.9),
    }
    return [
        to_entry("egress-worker", claim, Verdict(Outcome.PROVEN, reason, evidence, (control,)), seconds)
        for claim, (reason, evidence, seconds) in verdicts.items()
    ]


def refuted() -> list[ClaimEntry]:
    book = Book("leaky-worker")
    leaks = tuple(book.see(x) for x in LEAKS if x.wire == "node")
    seen = tuple(book.see(request(NODE, f"w-{i}"), "echo") for i in range(70))
    control = book.see(f.FlowSeen("outsider", OUTSIDER, ECHO, "tcp", 80, 12, 1410), episode="control")
    bad = Outcome.REFUTED
    return [
        to_entry(
            "leaky-worker",
            "egress.address",
            Verdict(
                bad, "70 of 82 requests came from node (203.0.113.10), which is no exit.", seen, (control,)
            ),
            3.3,
        ),
        to_entry(
            "leaky-worker",
            "egress.no_direct_packets",
            Verdict(
                bad,
                "5 flows of 9 (157 packets) left the node for echo tcp/443 and udp/7, 192.0.2.77 udp/123 and "
                "outsider icmp: beside the tunnel.",
                leaks,
                (control,),
            ),
            0.2,
        ),
        to_entry(
            "leaky-worker", "egress.guard_holds", Verdict(Outcome.PROVEN, "The worker never started."), 6.1
        ),
        to_entry(
            "leaky-worker",
            "identity.removed_after_stop",
            Verdict(Outcome.UNPROVEN, "Not observed to its end: episode as-it-stands."),
            0.1,
        ),
        to_entry(
            "leaky-worker",
            "secrets.not_exposed",
            Verdict(
                bad,
                "The key is in 1 of 3 places: <task logs>.",
                (book.see(f.SecretScan("task logs", 412, ("worker stderr line 7",), "m", True), "secrets"),),
            ),
            0.8,
        ),
    ]


STAGES = (
    Stage("engine", 0.1, "answers", 0.0),
    Stage("images", 0.2, "from the cache", 0.1),
    Stage("wires", 0.3, "9 hosts", 0.3),
    Stage("control", 1.2, "headscale with DERP", 0.6),
    Stage("echo", 0.4, "listens", 0.6),
    Stage("node", 2.9, "nested engine, Nomad agent", 0.6),
    Stage("exit-a", 1.8, "joins the tailnet", 1.8),
    Stage("exit-b", 1.9, "joins the tailnet", 1.8),
    Stage("client", 1.7, "joins the tailnet", 1.8),
    Stage("stranger", 1.7, "joins the tailnet", 1.8),
    Stage("egress-worker", 9.6, "as it stands, exit absent, address wrong", 3.8),
    Stage("teardown", 1.1, "", 13.5),
)


def record(*, leaky: bool = True) -> RunRecord:
    return RunRecord(
        run="20261123-162011-9f3c",
        began=BEGAN,
        seconds=14.8,
        versions={"nomad": "1.11.3", "tailscale": "1.102.3", "headscale": "0.29.3", "docker": "20.10.24"},
        origins={
            "notailcar/node:4be1": "source: Go modules, debootstrap trixie",
            "tailscale/tailscale:v1.102.3": "stand-in, built from source: tailscale.com v1.102.3",
            "python:3.13-slim": "stand-in, built from Debian trixie",
            "headscale/headscale:0.29.3": "registry",
        },
        engine="Docker Engine 20.10.24, the harness's own",
        topology=topology(),
        entries=(*proven(), *(refuted() if leaky else ())),
        flows=(*SOUND, *(LEAKS if leaky else ())),
        stages=STAGES,
        commit="4c1f0e2",
    )
