"""What can be observed: one frozen dataclass a kind of fact.

A fact says what an observer saw, never what it means. Addresses are text in their shortest form
(IPv4-mapped IPv6 already unwrapped), sizes are bytes, times are Unix seconds.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Moment(StrEnum):
    """Where in an episode a snapshot was taken."""

    BEFORE = "before"
    RUNNING = "running"
    AFTER = "after"


@dataclass(frozen=True)
class RequestSeen:
    """The echo service was spoken to: who it saw. The receiver's word, whatever the sender believes."""

    protocol: str
    """http, https, tcp or udp."""
    peer: str
    peer_port: int
    local: str
    token: str
    """What the sender wrote to be recognised by; empty where it wrote nothing."""
    agent: str = ""
    """The User-Agent of an HTTP request."""
    target: str = ""
    """Method and URL of an HTTP request, as the receiver was asked."""
    seen_at: float = 0.0
    """By the receiver's clock, which is that of every host of a lab."""


@dataclass(frozen=True)
class RequestSent:
    """The harness sent a request from where a task runs: what became of it, by the sender's word."""

    token: str
    began: float
    seconds: float
    answer: str
    """The address that the receiver said it saw; empty where no answer came."""
    error: str


class Phase(StrEnum):
    """How far a fault has come."""

    INJECTED = "injected"
    SHOWN = "shown"
    HEALED = "healed"


@dataclass(frozen=True)
class FaultSeen:
    """A fault was injected, was shown to have happened, or was healed."""

    fault: str
    phase: Phase
    reached_at: float
    what: str
    """What was done, or what shows it, for a person."""


@dataclass(frozen=True)
class FlowSeen:
    """The router forwarded or received packets of one flow during the episode: one row of the flow book."""

    wire: str
    """The host whose wire the packets came in by, which no sender can forge."""
    source: str
    destination: str
    protocol: str
    """tcp, udp, icmp, icmpv6, or the protocol's number."""
    port: int
    """Destination port; 0 where the protocol has none."""
    packets: int
    octets: int


@dataclass(frozen=True)
class FlowBookClosed:
    """The flow book's own control: packets counted in rows against packets counted in all."""

    packets_in_rows: int
    packets_in_all: int


@dataclass(frozen=True)
class NameAsked:
    """The DNS server of the lab's internet was asked for a name."""

    client: str
    name: str
    record: str


@dataclass(frozen=True)
class PacketCaptured:
    """A packet that the capture's filter let through, at the router, outside of what is tested."""

    captured_at: float
    source: str
    destination: str
    protocol: str
    source_port: int
    port: int
    octets: int
    payload: str = ""
    """The first bytes, printable ones as they are."""


@dataclass(frozen=True)
class CaptureClosed:
    """A capture ended: what it says of its own completeness, and where its file is."""

    filter: str
    captured: int
    dropped: int
    file: str


@dataclass(frozen=True)
class TaskEventSeen:
    """Nomad said something about a task of an allocation."""

    allocation: str
    task: str
    event: str
    """Nomad's own type: Received, Task Setup, Started, Terminated, Not Restarting, ..."""
    message: str
    exit_code: int | None
    event_at: float


@dataclass(frozen=True)
class TaskLog:
    """The tail of what a task printed, free of secrets."""

    allocation: str
    task: str
    stream: str
    text: str


@dataclass(frozen=True)
class TaskEnd:
    """How one task stood when its allocation was last read."""

    task: str
    state: str
    failed: bool
    started: bool
    restarts: int


@dataclass(frozen=True)
class AllocationSeen:
    """An allocation as it stood at a moment."""

    allocation: str
    job: str
    status: str
    description: str
    tasks: tuple[TaskEnd, ...] = ()


@dataclass(frozen=True)
class PortsHeld:
    """The ports that Nomad gave an allocation, on the node's own network."""

    allocation: str
    ports: tuple[int, ...]


@dataclass(frozen=True)
class LaunchSeen:
    """A periodic job launched a job of its own."""

    job: str
    """The id of what was launched."""
    forced: bool
    """True: the harness asked for it. False: its schedule did."""


@dataclass(frozen=True)
class TailnetNode:
    """One node as the control server lists it."""

    id: str
    name: str
    addresses: tuple[str, ...]
    tags: tuple[str, ...]
    user: str
    ephemeral: bool
    online: bool


@dataclass(frozen=True)
class TailnetSeen:
    """The control server's list of nodes at a moment."""

    moment: Moment
    nodes: tuple[TailnetNode, ...]


@dataclass(frozen=True)
class ExitWithdrawn:
    """An exit node's routes were taken back on the control server: it is in the tailnet, and no exit."""

    host: str
    withdrawn: tuple[str, ...]
    """The routes that it had."""
    left: tuple[str, ...]
    """Those that the control server still lists as approved."""


@dataclass(frozen=True)
class ServeSeen:
    """What an allocation's tailscaled says that it publishes by Serve."""

    allocation: str
    funnel: tuple[str, ...]
    """What it lets the whole internet reach by Funnel: HOST:PORT."""


class Way(StrEnum):
    """By which network somebody tried to reach something."""

    TAILNET = "tailnet"
    DIRECT = "direct"
    LOOPBACK = "loopback"


@dataclass(frozen=True)
class AttemptSeen:
    """Somebody tried to reach something: what came back, by the asker's word."""

    by: str
    """The host that asked."""
    way: Way
    target: str
    """What was asked: a URL, or `tcp host:port`."""
    named: str
    """What the target's host was named by: full name, short name, tailnet address, or the address itself."""
    port: int
    promise: int
    """The number of the [[serve]] in smoke.toml that the target is, from 1; 0 for what is no promise."""
    connected: bool
    """Whether anything took the connection."""
    status: int = 0
    """Of an HTTP answer; 0 where there was none."""
    headers: tuple[str, ...] = ()
    body: str = ""
    """The answer's first characters."""
    error: str = ""
    tries: int = 1
    control: bool = False
    """Whether it is a control: something that this asker must reach, by the same command."""


@dataclass(frozen=True)
class RoundAsked:
    """A host asked for everything that it may not reach, or may, and for its controls, once."""

    by: str
    way: Way
    began: float
    ended: float
    asked: int
    connected: tuple[str, ...]
    """The targets that took a connection."""
    controls: int
    """How many controls were asked for beside them."""
    controls_connected: int


@dataclass(frozen=True)
class PageSeen:
    """A browser opened a page that was promised: what a person would have seen; nothing, where it did not."""

    by: str
    """The host that the browser runs on."""
    target: str
    promise: int
    """The number of the [[serve]] in smoke.toml that the page is."""
    title: str
    text: str
    """The first characters of what the page shows, its scripts having run."""
    picture: str
    """The file of its picture, beside the ledger; empty where there is none."""


@dataclass(frozen=True)
class CheckSeen:
    """One check of a registered service: passing, warning or critical, and what it last said."""

    name: str
    status: str
    output: str


@dataclass(frozen=True)
class RegisteredService:
    """One instance of a service as whoever asks the catalogue is told of it."""

    allocation: str
    name: str
    address: str
    port: int
    checks: tuple[CheckSeen, ...]


@dataclass(frozen=True)
class CatalogueSeen:
    """Consul's catalogue while the job ran."""

    names: tuple[str, ...]
    """Every service that it knows; Consul's own is always among them, unless the look was blind."""
    registered: tuple[RegisteredService, ...]
    """What the job's allocations registered."""


@dataclass(frozen=True)
class SecretScan:
    """A place was searched for the auth key: and for a marker known to be there, so a blind search shows."""

    place: str
    """Where: a log, the job as registered, the process list, a worker's environment, ..."""
    items: int
    """How many lines, variables or processes were searched."""
    hits: tuple[str, ...]
    """Where in it the key was found, with the key itself masked; empty when it was not."""
    marker: str
    marker_found: bool
    expected: bool = False
    """True for the one place where the key must be found: the positive control of the search."""


@dataclass(frozen=True)
class LieTold:
    """The check service answered with an address that is not the asker's: so the guard is put to the test."""

    address: str
    asked: int


@dataclass(frozen=True)
class Listener:
    """A socket that takes what comes: a TCP socket that listens, or a UDP socket without a peer."""

    protocol: str
    """tcp or udp."""
    address: str
    """What it is bound to, as ss(8) has it: `*` stands for every address of both families."""
    port: int
    process: str
    """The name of the process that holds it; empty where nobody does."""
    allocation: str = ""
    """Where that process is in a container of Nomad's."""
    task: str = ""
    control: bool = False
    """Opened by the harness itself, to be found."""


@dataclass(frozen=True)
class ListenersSeen:
    """Everything that listened in one network namespace."""

    moment: Moment
    place: str
    """`node`, or a container with a network namespace of its own."""
    listeners: tuple[Listener, ...]
    looks: int = 1
    """How often it was looked until this was seen, which differs from what was seen before."""


@dataclass(frozen=True)
class ContainerPorts:
    """A container that runs, and which of its ports the engine publishes."""

    container: str
    allocation: str
    task: str
    network: str
    """The engine's own word: host, none, bridge, container:ID, ..."""
    published: tuple[str, ...] = ()
    publishes_all: bool = False


@dataclass(frozen=True)
class ContainersSeen:
    """The containers that the node's engine runs; in the episode `ports`, AFTER is after the scan."""

    moment: Moment
    containers: tuple[ContainerPorts, ...]


@dataclass(frozen=True)
class PortsScanned:
    """Every port of one protocol on one address was asked from another host."""

    scanner: str
    address: str
    protocol: str
    closed: int
    """How many answered that nothing listens there: by a TCP RST, by ICMP port unreachable."""
    open: tuple[int, ...]
    """Those that answered otherwise."""
    shut: tuple[int, ...]
    """Those of the open TCP ports that closed a connection without having said a byte."""
    silent: tuple[int, ...]
    """Those that did not answer, however often they were asked."""
    rounds: int
    began: float
    ended: float


@dataclass(frozen=True)
class EscapeTried:
    """It was tried to go out directly from the network namespace of a task, or from the node's own."""

    place: str
    """The task, or `node`."""
    allocation: str
    attempts: tuple[str, ...]
    """What was tried, by the tokens that an observer would see."""
    succeeded: tuple[str, ...]
    """Those of them whose own program says that they succeeded; the observers decide."""


@dataclass(frozen=True)
class ObserverFailed:
    """An observer died, was late, or lost something: nothing may be concluded from its silence."""

    observer: str
    problem: str


@dataclass(frozen=True)
class EpisodeEnded:
    """An episode is over: its bounds in Unix seconds, and what brought it to its end."""

    began: float
    ended: float
    outcome: str
    notes: tuple[str, ...] = field(default=())


Fact = (
    RequestSeen
    | FlowSeen
    | FlowBookClosed
    | NameAsked
    | PacketCaptured
    | CaptureClosed
    | TaskEventSeen
    | TaskLog
    | AllocationSeen
    | PortsHeld
    | ServeSeen
    | LaunchSeen
    | TailnetSeen
    | ExitWithdrawn
    | RequestSent
    | FaultSeen
    | AttemptSeen
    | RoundAsked
    | PageSeen
    | CatalogueSeen
    | SecretScan
    | LieTold
    | ListenersSeen
    | ContainersSeen
    | PortsScanned
    | EscapeTried
    | ObserverFailed
    | EpisodeEnded
)
