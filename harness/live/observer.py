"""The observer on a public host (docker/observer): who came to it, and what is open as seen from there."""

import secrets
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Self

from harness.errors import UsageError
from harness.lab import echo_book
from harness.lab.echo_book import EchoLine
from harness.live.observer_link import ANSWER_SECONDS, URL, ObserverLink

_SIDE_BY_SIDE = 64
"""How many targets the observer tries at a time, of all probes together."""
_PROBES = 8
"""How many probes it has under way at the most."""
_MOST_TARGETS = 2000
"""How many targets it takes in one order."""
_MARK = "observer-mark-"


@dataclass(frozen=True)
class ProbeResult:
    """One TCP connection that the observer tried."""

    address: str
    port: int
    connected: bool
    error: str
    """Why it did not come about: ECONNREFUSED, `timed out`, ...; empty where it did."""
    seconds: float


@dataclass(frozen=True)
class About:
    """What the observer says of itself."""

    version: str
    addresses: tuple[str, ...]
    """Those it would speak from, as its own host knows them; a NAT's are not among them."""
    protocols: Mapping[str, int]
    """The port of each protocol that it serves: http, https, tcp, udp."""
    caller: str
    """The address by which it sees the harness."""
    ahead: float
    """Seconds that its clock is ahead of ours, to within half the time that the question took."""


class ObserverClient:
    """Owns the way to one observer.

    Until the observer has said for the first time what it is, what is wrong is a setting: a UsageError that
    begins with its name. From then on the observer failed (LabError): its silence proves nothing.
    """

    def __init__(self, url: str, token: str, *, verify: ssl.SSLContext | str | bool = True) -> None:
        """Speak with the observer at `url`; nothing is asked yet.

        Args:
            url: as in OBSERVER_URL: scheme, host and port.
            token: the observer's token, a secret; it goes into a header and nowhere else.
            verify: who is trusted: a context, a CA's file (OBSERVER_CACERT), or True for the public CAs.

        Raises:
            UsageError: one of them cannot be used.
        """
        self._link = ObserverLink(url, token, verify)
        self._book = ""
        """The book's own name, once it is known: another book has not seen what came before it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ObserverClient({self._link.url!r})"

    def close(self) -> None:
        """Close every connection."""
        self._link.close()

    def about(self) -> About:
        """Ask what it is; the first question to ask, as it finds out whether the settings are right.

        Raises:
            UsageError: a setting is wrong, or the observer sees a proxy instead of who comes.
            LabError: it failed, after it had answered before.
        """
        return self._about()[0]

    def mark(self) -> int:
        """Leave a mark in the book, so that it is known to be written, and give the mark's place.

        Raises UsageError and LabError as `about` does.
        """
        _, newest = self._about()
        left = self._leave_mark()
        for line in self._read(newest, (left,)):
            if line.request.token == left:
                return line.number
        raise self._link.failed("answers, but does not write down what it sees")

    def since(self, mark: int, token: str = "") -> list[EchoLine]:
        """Everything that the observer saw after a mark, but for marks.

        Another mark is left first, and must be in the book: an observer that stopped writing is an error,
        never "nothing came".

        Args:
            mark: where to begin: from `mark`, of this same client.
            token: only what has this in its token, User-Agent or target; empty: everything, whoever came.

        Raises:
            LabError: the observer died, began its book anew, lost lines, or did not hear everybody.
        """
        left = self._leave_mark()
        lines = self._read(mark, (token, left) if token else ())
        if not any(line.request.token == left for line in lines):
            raise self._link.failed("answers, but no longer writes down what it sees")
        return [line for line in lines if not line.request.token.startswith(_MARK)]

    def probe(self, targets: Sequence[tuple[str, int]], seconds: float = 3) -> list[ProbeResult]:
        """Have TCP connections tried from where the observer stands, side by side.

        Args:
            targets: addresses and ports.
            seconds: how long each may take, 10 at the most.

        Returns:
            What came of each, in the order of `targets`.

        Raises:
            LabError: the observer failed, or does not take the order.
            UsageError: the same, before it has said what it is.
        """
        results: list[ProbeResult] = []
        for start in range(0, len(targets), _MOST_TARGETS):
            results += self._probe(targets[start : start + _MOST_TARGETS], seconds)
        return results

    def _probe(self, targets: Sequence[tuple[str, int]], seconds: float) -> list[ProbeResult]:
        rounds = 1 + _PROBES * len(targets) // _SIDE_BY_SIDE  # should the others have ordered as much
        answer = self._link.ask(
            "POST",
            "probe",
            json={"targets": [list(target) for target in targets], "seconds": seconds},
            seconds=rounds * seconds + ANSWER_SECONDS,
        )
        try:
            results = [ProbeResult(**each) for each in answer["targets"]]
        except (KeyError, TypeError) as error:
            raise self._link.failed("gives an answer to a probe that cannot be read") from error
        if [(r.address, r.port) for r in results] != [(_short(address), port) for address, port in targets]:
            raise self._link.failed("has not tried what it was asked to")
        return results

    def _about(self) -> tuple[About, int]:
        """What it is, and the number of the newest line of its book."""
        before = time.time()
        answer = self._link.ask("GET", "about")
        after = time.time()
        try:
            about = About(
                version=str(answer["version"]),
                addresses=tuple(answer["addresses"]),
                protocols=dict(answer["protocols"]),
                caller=str(answer["you"]),
                ahead=float(answer["now"]) - (before + after) / 2,
            )
            newest, forwarded = int(answer["newest"]), list(answer["forwarded"])
            hidden = _is_public(self._link.reached) and not _is_public(about.caller)
            self._same_book(answer)
        except (KeyError, TypeError, ValueError) as error:
            raise self._link.wrong(self._link.stranger()) from error
        if forwarded or hidden:
            by = ", ".join(forwarded) or f"it sees us as {about.caller}"
            raise UsageError(
                f"{URL}: a proxy stands before the observer, and would be all that it sees ({by})",
                remedy="let it listen on the public address itself: --network host, no reverse proxy",
            )
        self._link.known = True
        return about, newest

    def _leave_mark(self) -> str:
        """Come as anybody does, with a token that nobody else has."""
        token = f"{_MARK}{secrets.token_hex(8)}"
        self._link.send("GET", "/", params={"token": token})
        return token

    def _read(self, after: int, parts: tuple[str, ...]) -> list[EchoLine]:
        """Read the book page by page, to what is its end now. No line may be missing."""
        lines: list[EchoLine] = []
        last, end = after, None
        while end is None or last < end:
            answer = self._link.ask("GET", "book", params={"after": last, "token": list(parts)})
            try:
                page = [echo_book.line(seen) for seen in answer["lines"]]
                upto, newest = int(answer["last"]), int(answer["newest"])
                end = newest if end is None else end
                dropped, turned_away = int(answer["dropped"]), int(answer["turned_away"])
                self._same_book(answer)
            except (KeyError, TypeError, ValueError) as error:
                raise self._link.failed("gives a page of its book that cannot be read") from error
            if dropped:
                raise self._link.failed(
                    f"no longer has {dropped} lines of its book", remedy="give it more room (OBSERVER_ROOM)"
                )
            if turned_away:
                raise self._link.failed(
                    f"turned {turned_away} callers away: nobody knows what they had to say",
                    remedy="let fewer strangers reach it, or let more in at a time (OBSERVER_AT_ONCE)",
                )
            numbers, whole = [line.number for line in page], list(range(last + 1, upto + 1))
            if upto <= last < end or not set(numbers) <= set(whole) or (not parts and numbers != whole):
                raise self._link.failed(f"leaves out lines of its book after line {last}")
            lines += page
            last = upto
        return lines

    def _same_book(self, answer: Mapping[str, Any]) -> None:
        self._book = self._book or str(answer["book"])
        if answer["book"] != self._book:
            raise self._link.failed("was started anew, and has forgotten what it saw")


def _is_public(address: str) -> bool:
    """Whether an address is one of the internet's; `address` may be empty. Raises ValueError."""
    return bool(address) and ip_address(address).is_global


def _short(address: str) -> str:
    return str(ip_address(address))
