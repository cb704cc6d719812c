"""A page for those who are in the tailnet: it greets whoever Serve says is asking.

Settings, from the environment:
  LISTEN_PORT   the port on 127.0.0.1; required
  WEB_TITLE     the page's title; default: Private page
"""

import html
import http.client
import os
import sys

from loopback import Request, Response, run

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
<h1>{title}</h1>
<p>Hello, {who}. This page is served to the tailnet, and to nobody else.</p>
</body>
</html>
"""


def respond(request: Request) -> Response:
    """Answer the page at `/`, and 404 elsewhere."""
    if request.path != "/":
        return Response("there is no such page\n", http.client.NOT_FOUND)
    if request.method not in ("GET", "HEAD"):
        headers = {"Allow": "GET, HEAD"}
        return Response("this page is read only\n", http.client.METHOD_NOT_ALLOWED, headers=headers)
    title = html.escape(os.environ.get("WEB_TITLE") or "Private page")
    page = _PAGE.format(title=title, who=html.escape(request.user or "whoever you are"))
    # It differs from one reader to the next.
    return Response(page, content_type="text/html; charset=utf-8", headers={"Cache-Control": "no-store"})


if __name__ == "__main__":
    sys.exit(run(respond))
