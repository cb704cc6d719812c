"""What a browser's document comes to, and which answers are pages."""

from harness.ledger.facts import AttemptSeen, Way
from harness.probes.browsing import pages, read


def test_a_document_is_read_as_a_person_reads_it() -> None:
    document = """<html><head><title> The
      page</title><style>p { color: red }</style></head>
      <body><h1>Hello</h1><script>let hidden = "<p>";</script><p>to   you</p></body></html>"""
    assert read(document) == ("The page", "Hello to you")


def test_a_document_without_anything_is_empty() -> None:
    assert read("") == ("", "")


def answered(by: str, *, promise: int = 1, named: str = "full name", kind: str = "text/html") -> AttemptSeen:
    header = f"Content-Type: {kind}"
    return AttemptSeen(by, Way.TAILNET, "http://a/", named, 80, promise, connected=True, headers=(header,))


def test_each_promised_page_is_looked_at_once() -> None:
    page = answered("client", kind="text/html; charset=utf-8")
    others = [
        answered("client", named="short name"),
        answered("client", promise=0),
        answered("client", kind="application/json"),
        answered("stranger"),
    ]
    assert list(pages([page, *others], "client")) == [page]
