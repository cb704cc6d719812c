"""Looks at a page as a person does: in a browser, over the tailnet, its certificate checked."""

from collections.abc import Iterator
from html.parser import HTMLParser

from harness.lab.lab import Lab
from harness.lab.running_host import RunningHost
from harness.ledger.facts import AttemptSeen, PageSeen
from harness.probes.asking import FULL_NAME

_PICTURE = "/run/page.png"
_SHOWN = 2000  # characters of a page's text
_LOADING = 5000  # virtual milliseconds: timers run ahead, what is under way in the network is waited for
_SILENCE = 60.0
# Nothing of it is about certificates: those are checked as by any browser.
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    # The member's own proxy, which resolves names of the tailnet (host_plans._member).
    "--proxy-server=socks5://127.0.0.1:1055",
    "--window-size=1200,640",
    f"--virtual-time-budget={_LOADING}",
    f"--screenshot={_PICTURE}",
    "--dump-dom",
)


def pages(attempts: list[AttemptSeen], by: str) -> Iterator[AttemptSeen]:
    """Of what a host asked for, the promises that were answered with a page, each once. Pure."""
    for attempt in attempts:
        kinds = [h for h in attempt.headers if h.lower().startswith("content-type: text/html")]
        if attempt.by == by and attempt.promise and attempt.named == FULL_NAME and kinds:
            yield attempt


def look(host: RunningHost, attempt: AttemptSeen, picture: str) -> tuple[PageSeen, bytes]:
    """Open a page in the browser of a host.

    Args:
        host: has a browser (`Host.browser`).
        attempt: how it was asked for before.
        picture: the name that the picture is to have.

    Returns:
        What was seen, which is nothing where there is no page or its certificate is not good; and the
        picture, PNG.

    Raises:
        LabError: the browser does not run.
    """
    # What an earlier look left is no picture of this page.
    command = ("sh", "-c", 'rm -f "$0"; exec chromium "$@"', _PICTURE, *_OPTIONS, attempt.target)
    title, text = read(host.run(*command, silence=_SILENCE).expect().stdout)
    taken = host.run("test", "-s", _PICTURE).exit_code == 0
    content = host.fetch(_PICTURE) if taken else b""
    name = picture if taken else ""
    return PageSeen(host.name, attempt.target, attempt.promise, title, text[:_SHOWN], name), content


def with_browser(lab: Lab) -> RunningHost | None:
    """The host that has a browser, in a lab that has one."""
    return next((lab.host(h.name) for h in lab.topology.hosts if h.browser), None)


def read(document: str) -> tuple[str, str]:
    """The title of a page and its text, as a reader sees them: white space made one blank. Pure."""
    reader = _Reader()
    reader.feed(document)
    return " ".join(reader.title.split()), " ".join(" ".join(reader.text).split())


class _Reader(HTMLParser):
    _UNSEEN = frozenset({"script", "style", "title", "template", "noscript"})

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.text: list[str] = []
        self._within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag in self._UNSEEN:
            self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._within and tag == self._within[-1]:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if self._within == ["title"]:
            self.title += data
        elif not self._within:
            self.text.append(data)
