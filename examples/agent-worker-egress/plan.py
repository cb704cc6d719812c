"""The plan: what is to be read next, and which of the links found on the way may be followed.

This is the part to put another mind in: it says the next step, and learns what came of it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import quote, urldefrag, urljoin, urlsplit

UNQUOTED = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True)
class Step:
    """One page to read, and how many links away from a seed it is."""

    url: str
    depth: int = 0


class Plan:
    """A queue with limits. Links lead to the hosts that were named, and never from https to http.

    Anybody may write anything into a page: without these limits, a link or a redirect would lead an
    agent to whatever its network reaches.
    """

    def __init__(self, seeds: Iterable[str], hosts: Iterable[str], *, pages: int, depth: int) -> None:
        """Begin with the seeds.

        Args:
            seeds: where to begin; their hosts may be followed to.
            hosts: others that may be followed to, each with its subdomains.
            pages: how many pages are read in all.
            depth: how many links away from a seed.
        """
        self._waiting = [Step(url) for url in dict.fromkeys(seeds)]
        self._known = {step.url for step in self._waiting}
        self._hosts = {urlsplit(url).hostname or "" for url in self._known} | set(hosts)
        self._left = pages
        self._depth = depth

    def next(self, due: Callable[[str], float]) -> Step | None:
        """Take the step whose host may be asked soonest, the oldest of several; None when all is done."""
        if not self._waiting or not self._left:
            return None
        step = min(self._waiting, key=lambda waiting: due(waiting.url))
        self._waiting.remove(step)
        self._left -= 1
        return step

    def learn(self, step: Step, links: Iterable[str]) -> int:
        """Queue the links of a page that was read; give how many are new and may be followed."""
        if step.depth >= self._depth:
            return 0
        new = [url for url in dict.fromkeys(links) if url not in self._known]
        self._known.update(new)
        self._waiting.extend(Step(url, step.depth + 1) for url in new)
        return len(new)

    def follow(self, base: str, link: str) -> str | None:
        """Give the whole URL of a link or redirect of the page `base`; None where it may not be followed."""
        try:
            url = tidy(urljoin(base, link.strip()))
        except ValueError:
            return None
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "http" and urlsplit(base).scheme == "https":
            return None
        named = any(host == name or host.endswith(f".{name}") for name in self._hosts)
        return url if named else None


def tidy(url: str) -> str:
    """Bring a URL into the one form in which it is asked and remembered. Raises ValueError."""
    parts = urlsplit(urldefrag(url).url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not an http or https URL without a password")
    host = parts.hostname.encode("idna").decode() if ":" not in parts.hostname else f"[{parts.hostname}]"
    netloc = host if parts.port is None else f"{host}:{parts.port}"
    path = quote(parts.path or "/", safe=UNQUOTED)
    query = quote(parts.query, safe=UNQUOTED + "?")
    return parts._replace(netloc=netloc, path=path, query=query).geturl()


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a" and given.get("href") and "nofollow" not in (given.get("rel") or "").split():
            self.found.append(given["href"] or "")


def links(html: str) -> list[str]:
    """Give the links of a page, as they are written there, but those that ask not to be followed."""
    parser = _Links()
    parser.feed(html)
    return parser.found
