"""The agent's tools: one reads a page (GET), one hands in the report (POST). Each gives a finding.

A tool of your own is one more method here: let it send by `_persist`, and it has the manners of the others.
"""

import hashlib
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from urllib.parse import urljoin
from urllib.robotparser import RobotFileParser

from manners import TRANSIENT, Turns, pause_after, rules
from plan import Plan, Step, links
from web import SUCCESS, Response, Web

AGENT = "agent-worker-egress"
"""Whom a robots.txt may speak of; the first part of the User-Agent."""
MOVED = frozenset({301, 302, 303, 307, 308})
REDIRECTS = 5


class StoppedError(Exception):
    """Told to stop."""


class ForbiddenError(Exception):
    """A robots.txt forbids it: nobody's failure."""


class AstrayError(Exception):
    """A redirect that may not be followed."""


@dataclass(frozen=True)
class Finding:
    """What came of one step. `outcome` is done, forbidden (by a robots.txt) or failed.

    `url` is the one that answered, after any redirect, and `token` that of the last request; `requests`
    counts all that it took: robots.txt, redirects, retries. `links` are those that may be followed, and
    `reused` says whether the tunnel was open already. Times are seconds.
    """

    tool: str
    asked: str
    url: str
    outcome: str
    error: str | None = None
    token: str = ""
    requests: int = 0
    seconds: float = 0.0
    status: int | None = None
    kind: str = ""
    size: int = 0
    whole: bool = True
    sha256: str = ""
    links: tuple[str, ...] = ()
    reused: bool = False


class Tools:
    """What the agent can do; owns the tokens, the hosts' turns and the rules that were read."""

    def __init__(
        self,
        web: Web,
        plan: Plan,
        stop: threading.Event,
        *,
        name: str,
        host_delay: float,
        attempts: int,
        longest_pause: float,
    ) -> None:
        """Send by `web`, follow what `plan` allows, end when `stop` is set; see agent.py for the others."""
        self._web = web
        self._plan = plan
        self._stop = stop
        self._name = name
        self._attempts = attempts
        self._longest_pause = longest_pause
        self._rules: dict[str, RobotFileParser] = {}
        self._sent = 0
        self.turns = Turns(host_delay)

    def read(self, step: Step) -> Finding:
        """Read a page. A failure is a finding too; raises StoppedError only."""
        return self._finding("read", step.url, self._walk)

    def hand_in(self, url: str, findings: list[Finding]) -> Finding:
        """Post a report, where it was told to and nowhere else: a redirect is a failure."""
        document = {"agent": self._name, "findings": [asdict(finding) for finding in findings]}
        body = json.dumps(document).encode()
        headers = {
            "Content-Type": "application/json",
            # By it the receiver knows a report that comes again because the first answer was lost.
            "Idempotency-Key": f"{self._name}-report",
        }
        return self._finding("hand_in", url, lambda to: (to, self._persist("POST", to, headers, body)))

    def _finding(self, tool: str, asked: str, act: Callable[[str], tuple[str, Response]]) -> Finding:
        began, sent = time.monotonic(), self._sent
        try:
            found = self._judged(tool, asked, *act(asked))
        except ForbiddenError as rule:
            found = Finding(tool, asked, asked, "forbidden", str(rule))
        except (AstrayError, OSError, http.client.HTTPException, ValueError) as problem:
            found = Finding(tool, asked, asked, "failed", f"{type(problem).__name__}: {problem}")
        return replace(
            found,
            token=f"{self._name}-{self._sent}",
            requests=self._sent - sent,
            seconds=round(time.monotonic() - began, 3),
        )

    def _judged(self, tool: str, asked: str, url: str, answer: Response) -> Finding:
        done = answer.status in SUCCESS
        return Finding(
            tool=tool,
            asked=asked,
            url=url,
            outcome="done" if done else "failed",
            error=None if done else f"status {answer.status}",
            status=answer.status,
            kind=answer.header("content-type").partition(";")[0].strip().lower(),
            size=len(answer.body),
            whole=answer.whole,
            sha256=hashlib.sha256(answer.body).hexdigest(),
            links=self._links(url, answer) if done else (),
            reused=answer.reused,
        )

    def _links(self, url: str, answer: Response) -> tuple[str, ...]:
        if not answer.header("content-type").lower().startswith("text/html"):
            return ()
        written = links(answer.body.decode("utf-8", "replace"))
        followed = (self._plan.follow(url, link) for link in written)
        return tuple(dict.fromkeys(link for link in followed if link))

    def _walk(self, url: str) -> tuple[str, Response]:
        """Read a URL through its redirects; each hop is allowed by the plan, and by its own robots.txt."""
        for _ in range(REDIRECTS + 1):
            robots = self._robots(url)
            if not robots.can_fetch(AGENT, url):
                raise ForbiddenError(f"robots.txt forbids {url}")
            delay = float(robots.crawl_delay(AGENT) or 0)
            if delay > self._longest_pause:
                raise ForbiddenError(f"robots.txt asks for {delay:g} s between requests")
            answer = self._persist("GET", url, {"Accept": "text/html, */*;q=0.5"}, delay=delay)
            if answer.status not in MOVED:
                return url, answer
            url = self._redirected(url, answer)
        raise AstrayError(f"more than {REDIRECTS} redirects")

    def _redirected(self, url: str, answer: Response) -> str:
        target = self._plan.follow(url, answer.header("location"))
        if target is None:
            raise AstrayError(f"redirected to {answer.header('location')[:200]!r}, which may not be followed")
        return target

    def _robots(self, url: str) -> RobotFileParser:
        """Give the rules of a URL's server; read once, unless that failed."""
        server = urljoin(url, "/")
        if server not in self._rules:
            where = urljoin(server, "robots.txt")
            answer = self._persist("GET", where, {})
            for _ in range(REDIRECTS):
                if answer.status not in MOVED:
                    break
                where = self._redirected(where, answer)
                answer = self._persist("GET", where, {})
            self._rules[server] = rules(answer)
        return self._rules[server]

    def _persist(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, delay: float = 0.0
    ) -> Response:
        """Send a request in its host's turn, again while it fails in passing. Raises as `Web.ask` does."""
        attempt = 0
        while True:
            attempt += 1
            self._rest(self.turns.due(url) - time.monotonic())
            self._sent += 1
            answer: Response | None = None
            failure: Exception | None = None
            try:
                answer = self._web.ask(method, url, {**self._own_headers(), **headers}, body)
            except ssl.SSLCertVerificationError:
                raise
            except (OSError, http.client.HTTPException) as problem:
                failure = problem
            finally:
                self.turns.asked(url, delay)
            if answer and answer.status not in TRANSIENT:
                return answer
            pause = pause_after(attempt, answer)
            if attempt < self._attempts and pause <= self._longest_pause:
                self._rest(pause)
            elif answer:
                return answer
            elif failure:
                raise failure

    def _own_headers(self) -> dict[str, str]:
        # The token is how an observer at the other end tells this request from all others.
        return {
            "User-Agent": f"{AGENT}/{self._name}",
            "X-Request-Token": f"{self._name}-{self._sent}",
            "Accept-Encoding": "identity",
        }

    def _rest(self, seconds: float) -> None:
        if self._stop.wait(max(0.0, seconds)):
            raise StoppedError
