"""Hand-written histories: a run in which all is well, and the words to spoil it with."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from harness.claims.catalogue import CLAIMS, Claim, judge
from harness.claims.secrets import EXPECTED_PLACE, REQUIRED_PLACES
from harness.claims.verdict import Expectation, HostAddresses, Served, Verdict
from harness.ledger.episodes import (
    ADDRESS_WRONG,
    AS_IT_STANDS,
    CONTROL,
    ESCAPE,
    ESCAPE_CONTROL,
    EXIT_ABSENT,
    EXIT_WITHDRAWN,
    PORTS,
)
from harness.ledger.facts import (
    AllocationSeen,
    AttemptSeen,
    CaptureClosed,
    ContainerPorts,
    ContainersSeen,
    EpisodeEnded,
    EscapeTried,
    ExitWithdrawn,
    Fact,
    FlowBookClosed,
    FlowSeen,
    LieTold,
    Listener,
    ListenersSeen,
    Moment,
    NameAsked,
    PortsHeld,
    PortsScanned,
    RequestSeen,
    SecretScan,
    ServeSeen,
    TailnetNode,
    TailnetSeen,
    TaskEnd,
    TaskEventSeen,
    TaskLog,
    Way,
)
from harness.ledger.ledger import History, Observation

NODE4, NODE_LAN, NODE6 = "203.0.113.10", "10.20.0.10", "2001:db8:113::10"
CONTROL4, CONTROL6 = "198.51.100.10", "2001:db8:10::10"
EXIT_A4, EXIT_A6 = "198.51.100.20", "2001:db8:20::20"
EXIT_B4, EXIT_B6 = "198.51.100.21", "2001:db8:21::21"
CLIENT4, CLIENT6 = "198.51.100.30", "2001:db8:30::30"
ECHO4, ECHO6 = "198.18.80.80", "2001:db8:80::80"
RESOLVER4, RESOLVER6 = "198.51.100.53", "2001:db8:53::53"
LOGIN_SERVER = "headscale.lab.test"


def host(name: str, *addresses: str) -> HostAddresses:
    return HostAddresses(name, frozenset(addresses))


NODE = host("node", NODE4, NODE_LAN, NODE6)
CONTROL_HOST = host("control", CONTROL4, CONTROL6)
EXIT_A = host("exit-a", EXIT_A4, EXIT_A6)
EXIT_B = host("exit-b", EXIT_B4, EXIT_B6)
CLIENT = host("client", CLIENT4, CLIENT6)
ECHO = host("echo", ECHO4, ECHO6)
INTERNET = host("internet", RESOLVER4, RESOLVER6)

EXPECTATION = Expectation(
    subject="egress-worker",
    tags=frozenset({"tag:nomad-worker"}),
    via=(EXIT_A,),
    fallback=(EXIT_B,),
    serve=(Served("http://{host}/", 200, "hello"), Served("tcp://{host}:6379", 200, "+PONG")),
    outside=frozenset({"outsider", "neighbour"}),
    node=NODE,
    control=CONTROL_HOST,
    resolver=INTERNET,
    infrastructure_names=frozenset({LOGIN_SERVER}),
    hosts=(NODE, CONTROL_HOST, EXIT_A, EXIT_B, ECHO, INTERNET, CLIENT),
    members=frozenset({"exit-a", "exit-b", "client"}),
)


@dataclass(frozen=True)
class Story:
    """A history in the making: facts by episode, in the order in which they were told."""

    told: tuple[tuple[str, Fact], ...] = ()

    def add(self, episode: str, *facts: Fact) -> "Story":
        return Story(self.told + tuple((episode, fact) for fact in facts))

    def drop(self, kind: type[Fact], episode: str = "", where: Callable[..., bool] = bool) -> "Story":
        """Leave out facts of a kind: of one episode if named, where `where(fact)` holds if given."""
        return Story(
            tuple(
                (e, f)
                for e, f in self.told
                if not (isinstance(f, kind) and episode in ("", e) and (where is bool or where(f)))
            )
        )

    def put(self, kind: type[Fact], episode: str, *facts: Fact) -> "Story":
        """Tell these facts instead of all of their kind."""
        return self.drop(kind, episode).add(episode, *facts)

    def without_episode(self, episode: str) -> "Story":
        return Story(tuple((e, f) for e, f in self.told if e != episode))

    def history(self) -> History:
        return History(
            tuple(
                Observation(number, 1000.0 + number, "test", "egress-worker", episode, fact)
                for number, (episode, fact) in enumerate(self.told, 1)
            )
        )

    def verdict(self, claim_id: str, expectation: Expectation = EXPECTATION) -> Verdict:
        return judge(claim(claim_id), self.history(), expectation)


def claim(claim_id: str) -> Claim:
    return next(c for c in CLAIMS if c.id == claim_id)


def facts(observations: Iterable[Observation]) -> list[Fact]:
    return [o.fact for o in observations]


def request(peer: str, protocol: str = "https", agent: str = "worker/1") -> RequestSeen:
    local = ECHO6 if ":" in peer else ECHO4
    return RequestSeen(protocol, peer, 40000, local, "", agent, "GET https://api.ipify.org/")


def flow(
    destination: str,
    protocol: str = "tcp",
    port: int = 443,
    packets: int = 10,
    *,
    source: str = "",
    wire: str = "node",
) -> FlowSeen:
    sender = source or (NODE6 if ":" in destination else NODE4)
    return FlowSeen(wire, sender, destination, protocol, port, packets, packets * 100)


def event(task: str, what: str, exit_code: int | None = None) -> TaskEventSeen:
    return TaskEventSeen("alloc-1", task, what, "", exit_code, 1000.0)


def allocation(*ends: TaskEnd) -> AllocationSeen:
    return AllocationSeen("alloc-1", "egress-worker", "complete", "", ends)


def end(task: str, *, started: bool) -> TaskEnd:
    return TaskEnd(task, "dead", failed=not started, started=started, restarts=0)


def log(text: str, task: str = "egress-guard", stream: str = "stderr") -> TaskLog:
    return TaskLog("alloc-1", task, stream, text)


def member(number: str, name: str, *tags: str, user: str = "", ephemeral: bool = False) -> TailnetNode:
    return TailnetNode(number, name, (f"100.64.0.{number}",), tags, user, ephemeral, online=True)


EXIT_MEMBER = member("1", "exit-a", "tag:exit")
CLIENT_MEMBER = member("2", "client", user="platform@example.com")
UNTRUSTED_MEMBER = member("8", "egress-worker-8", user="guest@example.com", ephemeral=True)
JOB_MEMBER = member("7", "egress-worker-7", "tag:nomad-worker", ephemeral=True)


def tailnet(moment: Moment, *nodes: TailnetNode) -> TailnetSeen:
    return TailnetSeen(moment, nodes)


def scan(place: str, *hits: str, marker: bool = True, items: int = 5, expected: bool = False) -> SecretScan:
    return SecretScan(place, items, hits, "marker-1", marker, expected)


def attempt(
    by: str, port: int = 80, promise: int = 1, named: str = "full name", **more: object
) -> AttemptSeen:
    """What the client got over the tailnet, and anybody else did not, unless `more` says otherwise."""
    let_in = by == "client" or bool(more.get("control"))
    told: dict[str, object] = {
        "way": Way.TAILNET,
        "target": f"{by}'s http://app.tailnet.test:{port}/ by {named}",
        "connected": let_in,
        "status": 200 if let_in and port == 80 else 0,
        "body": ("hello" if port == 80 else "+PONG") if let_in else "",
        "error": "" if let_in else "connection refused",
        **more,
    }
    return AttemptSeen(by=by, port=port, promise=promise, named=named, **told)  # type: ignore[arg-type]


def outside(by: str, address: str, port: int, **more: object) -> AttemptSeen:
    return attempt(by, port, 0, address, way=Way.DIRECT, target=f"tcp {address}:{port}", **more)


def listener(
    task: str, protocol: str, address: str, port: int, process: str = "", **more: object
) -> Listener:
    """A listener of a task of the job; with an empty name, of the node itself."""
    held = process or {"tailscale": "tailscaled", "worker": "python3"}.get(task, "")
    allocation = "alloc-1" if task else ""
    return Listener(protocol, address, port, held, allocation, task, **more)  # type: ignore[arg-type]


ANY = "0.0.0.0"  # noqa: S104 - told of, not listened on
NOMAD = (listener("", "tcp", "127.0.0.1", 4646, "nomad"), listener("", "udp", "127.0.0.1", 4648, "nomad"))
CONTROL_LISTENERS = tuple(
    listener("", protocol, address, port, "socat", control=True)
    for protocol, address, port in (
        ("tcp", ANY, 50001),
        ("tcp", "::", 50002),
        ("udp", ANY, 50003),
        ("udp", "::", 50004),
    )
)
JOB_LISTENERS = (
    listener("tailscale", "udp", ANY, 41001),
    listener("tailscale", "udp", "::", 41002),
    listener("tailscale", "tcp", ANY, 61927),
    listener("tailscale", "tcp", "127.0.0.1", 24001),
    listener("worker", "tcp", "::1", 24002),
)


def listening(moment: Moment, *listeners: Listener, place: str = "node") -> ListenersSeen:
    return ListenersSeen(moment, place, listeners)


def container(
    task: str, *published: str, network: str = "host", publishes_all: bool = False
) -> ContainerPorts:
    return ContainerPorts(f"{task}-alloc-1", "alloc-1", task, network, published, publishes_all)


def containers(moment: Moment, *tasks: str) -> ContainersSeen:
    return ContainersSeen(moment, tuple(map(container, tasks)))


def scanned(address: str, protocol: str, **changes: object) -> PortsScanned:
    """A scan that found the harness's listener and tailscaled's, and every other port closed."""
    found = {
        (NODE4, "tcp"): {"open": (50001, 61927), "shut": (61927,), "silent": ()},
        (NODE6, "tcp"): {"open": (50002,), "shut": (), "silent": ()},
        (NODE4, "udp"): {"open": (), "shut": (), "silent": (41001, 50003)},
        (NODE6, "udp"): {"open": (), "shut": (), "silent": (41002, 50004)},
    }[address, protocol]
    told: dict[str, Any] = {**found, **changes}
    told.setdefault("closed", 65535 - len({*told["open"], *told["silent"]}))
    return PortsScanned("outsider", address, protocol, rounds=3, began=1.0, ended=2.0, **told)


def tried(place: str, where: str, word: str, *succeeded: str) -> EscapeTried:
    attempts = tuple(
        f"{word}-{way}-{kind}" for way in ("http", "https", "tcp", "udp", "dns") for kind in "46"
    )
    return EscapeTried(place, where, attempts, succeeded)


BACKEND_PORTS = (24001, 24002)


def ended() -> EpisodeEnded:
    return EpisodeEnded(1000.0, 1010.0, "complete")


def good() -> Story:
    """A run in which every claim is proven."""
    story = Story()
    story = story.add(
        AS_IT_STANDS,
        *(request(EXIT_A4, p) for p in ("http", "https", "tcp", "udp")),
        request(EXIT_A6),
        flow(CONTROL4),
        flow(CONTROL6),
        flow(CONTROL4, "tcp", 80, 2),
        flow(CONTROL4, "udp", 3478, 2),
        flow(CONTROL4, "icmp", 0, 1),
        flow(EXIT_A4, "udp", 41641, 200),
        flow(EXIT_B6, "udp", 1025, 3),
        flow(RESOLVER4, "udp", 53, 2),
        flow("ff02::16", "icmpv6", 0, 1, source="fe80::1"),
        flow(NODE4, "tcp", 50000, wire="control", source=CONTROL4),
        NameAsked(NODE4, LOGIN_SERVER, "A"),
        NameAsked(NODE4, "Headscale.LAB.test.", "AAAA"),
        NameAsked(EXIT_A4, "api.ipify.org", "A"),
        FlowBookClosed(240, 240),
        CaptureClosed("host 198.18.80.80", 0, 0, "as-it-stands.pcap"),
        event("egress-guard", "Terminated", 0),
        event("worker", "Started"),
        allocation(end("egress-guard", started=True), end("worker", started=True)),
        tailnet(Moment.BEFORE, EXIT_MEMBER, CLIENT_MEMBER),
        tailnet(Moment.RUNNING, EXIT_MEMBER, CLIENT_MEMBER, JOB_MEMBER),
        tailnet(Moment.AFTER, EXIT_MEMBER, CLIENT_MEMBER),
        PortsHeld("alloc-1", BACKEND_PORTS),
        ServeSeen("alloc-1", ()),
        *(
            attempt(by, port, promise, named)
            for by in ("client", "stranger")
            for port, promise in ((80, 1), (6379, 2))
            for named in ("full name", "short name", "tailnet address")
            if (by, named) != ("client", "tailnet address")
        ),
        *(attempt(by, 80, 0, control=True) for by in ("client", "stranger")),
        *(
            outside(by, address, port, control=port == 9)
            for by in ("outsider", "neighbour")
            for address in sorted(NODE.addresses)
            for port in (9, 80, 6379, *BACKEND_PORTS)
        ),
        *(
            attempt("node", port, 0, "127.0.0.1", way=Way.LOOPBACK, connected=port == BACKEND_PORTS[0])
            for port in BACKEND_PORTS
        ),
        *(scan(place) for place in sorted(REQUIRED_PLACES)),
        scan(EXPECTED_PLACE, "TS_AUTHKEY", expected=True),
        ended(),
    )
    story = story.add(
        CONTROL,
        request(NODE4, "http"),
        request(NODE6, "https"),
        flow(ECHO4, "tcp", 80),
        flow(ECHO6, "tcp", 443),
        flow(ECHO4, "udp", 7),
        flow(ECHO6, "udp", 7),
        flow(ECHO4, "icmp", 0),
        flow(RESOLVER4, "udp", 53),
        NameAsked(NODE4, "echo.lab.test", "A"),
        FlowBookClosed(50, 50),
        ended(),
    )
    story = story.add(
        EXIT_ABSENT,
        tailnet(Moment.RUNNING, EXIT_MEMBER, CLIENT_MEMBER, UNTRUSTED_MEMBER),
        event("egress-guard", "Terminated", 1),
        event("egress-guard", "Not Restarting"),
        log("up\nexit node exit-a is not in the tailnet\n"),
        allocation(end("egress-guard", started=True), end("worker", started=False)),
        ended(),
    )
    story = story.add(
        EXIT_WITHDRAWN,
        ExitWithdrawn("exit-a", ("0.0.0.0/0", "::/0"), ()),
        request(EXIT_B4),
        request(EXIT_B6),
        flow(CONTROL4),
        flow(EXIT_B4, "udp", 41641, 100),
        FlowBookClosed(110, 110),
        ended(),
    )
    story = story.add(
        PORTS,
        listening(Moment.BEFORE, *NOMAD),
        containers(Moment.BEFORE),
        listening(Moment.RUNNING, *NOMAD, *CONTROL_LISTENERS, *JOB_LISTENERS),
        containers(Moment.RUNNING, "tailscale", "worker"),
        *(scanned(address, protocol) for address in (NODE4, NODE6) for protocol in ("tcp", "udp")),
        listening(Moment.AFTER, *NOMAD, *CONTROL_LISTENERS, *JOB_LISTENERS),
        containers(Moment.AFTER, "tailscale", "worker"),
        allocation(
            *(end(task, started=True) for task in ("tailscale", "egress-guard", "worker")),
        ),
        ended(),
    )
    story = story.add(
        ESCAPE_CONTROL,
        tried("node", "", "control-escape"),
        *(
            replace(request(NODE4, way), token=f"control-escape-{way}-4")
            for way in ("http", "https", "tcp", "udp")
        ),
        *(
            replace(request(NODE6, way), token=f"control-escape-{way}-6")
            for way in ("http", "https", "tcp", "udp")
        ),
        *(NameAsked(NODE4, f"control-escape-dns-{kind}.lab.test", "A") for kind in "46"),
        flow(ECHO4, "tcp", 80),
        flow(ECHO6, "tcp", 443),
        flow(ECHO4, "udp", 7),
        flow(ECHO6, "udp", 7),
        FlowBookClosed(40, 40),
        ended(),
    )
    story = story.add(
        ESCAPE,
        tried("worker", "alloc-1", "escape-alloc-1-0"),
        flow(CONTROL4),
        FlowBookClosed(10, 10),
        ended(),
    )
    return story.add(
        ADDRESS_WRONG,
        LieTold("192.0.2.66", 1),
        event("egress-guard", "Terminated", 3),
        log("observed 192.0.2.66, allowed 198.51.100.20\n"),
        ended(),
    )


def expecting(**changes: object) -> Expectation:
    return replace(EXPECTATION, **changes)  # type: ignore[arg-type]
