"""An episode in which a fault befell a worker, and what came of it: to be drawn, kept and shown."""

from harness.claims.verdict import Outcome, Verdict
from harness.ledger import facts as f
from harness.ledger.episodes import under
from harness.ledger.ledger import History, Observation
from harness.report.entries import ClaimEntry, to_entry
from tests.report import sample

FAULT = "exit-deleted"
CLAIM = f"egress.survives.{FAULT}"
SUBJECT = "egress-worker"
ZERO = sample.BEGAN + 20
EXITS = ("exit-a", "exit-b")
LEAKED = (
    "Leaked: exit-a was deleted; 30 requests arrived directly within 2.9 s, the first 0.5 s after it began, "
    f"from node ({sample.NODE}) 20, node ({sample.NODE6}) 10."
)
EVIL = "<b>\"'&</b>"


def request(at: float, peer: str) -> f.RequestSeen:
    return f.RequestSeen("http", peer, 4000, sample.ECHO, f"drum-{at}", seen_at=ZERO + at)


def sent(at: float, answer: str) -> f.RequestSent:
    return f.RequestSent(f"drum-{at}", ZERO + at, 0.01, answer, "" if answer else "refused")


def marks() -> list[f.Fact]:
    return [
        f.FaultSeen(FAULT, f.Phase.INJECTED, ZERO, "exit-a was deleted"),
        f.FaultSeen(FAULT, f.Phase.SHOWN, ZERO + 0.4, "tailscaled has no exit node"),
        f.FaultSeen(FAULT, f.Phase.HEALED, ZERO + 3, "exit-a is back"),
    ]


def traffic(*, leaky: bool) -> list[f.Fact]:
    facts: list[f.Fact] = []
    for n in range(20):
        facts += [request(n / 10 - 2, sample.EXIT_A), sent(n / 10 - 2, sample.EXIT_A)]
    for n in range(30):
        peer = sample.NODE6 if n % 3 == 2 else sample.NODE
        facts.append(sent(n / 10 + 0.5, peer if leaky else ""))
        facts += [request(n / 10 + 0.5, peer)] if leaky else []
    return facts


def log_line(at: float, text: str) -> str:
    second = int(at)
    hours, rest = divmod(second % 86400, 3600)
    return f"2026/11/24 {hours:02}:{rest // 60:02}:{rest % 60:02} {text}"


def aftermath() -> list[f.Fact]:
    log = [log_line(ZERO - 60, "before"), "its stack", log_line(ZERO + 1, "no exit node"), "with a detail"]
    end = [log_line(ZERO + 30, "got signal terminated"), "its stack"]
    return [
        *(x for x in sample.LEAKS if x.wire == "node"),
        f.TaskEventSeen("7d3a", "tailscale", "Started", "by client", None, ZERO - 5),
        f.TaskEventSeen("7d3a", "worker", "Terminated", EVIL, 143, ZERO + 9),
        f.TaskLog("7d3a", "tailscale", "stderr", "\n".join([*log, *end])),
        f.TaskLog("7d3a", "worker", "stdout", f"sent {EVIL}\n"),
        *(
            f.PacketCaptured(
                ZERO + 0.5 + n / 100, sample.NODE, sample.ECHO, "tcp", 40000, 443, 74, f"GET /{EVIL}"
            )
            for n in range(50)
        ),
        f.CaptureClosed("not host control", 50, 0, f"{SUBJECT}-{FAULT}.pcap"),
    ]


def history(*facts: f.Fact) -> History:
    episode = under(FAULT)
    return History(
        tuple(Observation(n, ZERO, "x", SUBJECT, episode, fact) for n, fact in enumerate(facts, 1))
    )


def leaky() -> History:
    return history(*marks(), *traffic(leaky=True), *aftermath())


def verdict(outcome: Outcome, reason: str, of: History) -> Verdict:
    return Verdict(outcome, reason, of.observations[:10])


def entry(outcome: Outcome = Outcome.REFUTED, reason: str = LEAKED) -> ClaimEntry:
    return to_entry(SUBJECT, CLAIM, verdict(outcome, reason, leaky()), 9.5)
