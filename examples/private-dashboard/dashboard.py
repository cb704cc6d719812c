"""An admin dashboard for those who are in the tailnet: a page, and the figures of this machine as JSON.

Settings, from the environment:
  LISTEN_PORT       the port on 127.0.0.1; required
  DASHBOARD_TITLE   the page's title; default: Private dashboard

The page's files are beside this one. Nothing on it comes from anywhere else, and the browser is told so.
"""

import functools
import html
import http.client
import json
import os
import sys
import time
from pathlib import Path

from loopback import Request, Response, run

_HERE = Path(__file__).parent
_BEGAN = time.monotonic()
_FILES = {
    "/": ("index.html", "text/html"),
    "/dashboard.css": ("dashboard.css", "text/css"),
    "/dashboard.js": ("dashboard.js", "text/javascript"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def status(user: str) -> dict[str, object]:
    """Give what the page shows: where it runs, for whom, and the machine's load and memory in bytes."""
    memory = {
        name: int(value.split()[0]) * 1024
        for name, _, value in (line.partition(":") for line in _lines("/proc/meminfo"))
        if name in ("MemTotal", "MemAvailable")
    }
    return {
        "user": user,
        "job": os.environ.get("NOMAD_JOB_NAME", ""),
        "allocation": os.environ.get("NOMAD_SHORT_ALLOC_ID", ""),
        "datacenter": os.environ.get("NOMAD_DC", ""),
        "up_seconds": round(time.monotonic() - _BEGAN),
        "load": os.getloadavg()[0],
        "processors": os.cpu_count() or 1,
        "memory_total": memory.get("MemTotal", 0),
        "memory_used": memory.get("MemTotal", 0) - memory.get("MemAvailable", 0),
    }


def _lines(file: str) -> list[str]:
    return Path(file).read_text(encoding="ascii").splitlines()


@functools.cache
def _file(name: str) -> str:
    title = html.escape(os.environ.get("DASHBOARD_TITLE") or "Private dashboard")
    return (_HERE / name).read_text(encoding="utf-8").replace("@title@", title)


def respond(request: Request) -> Response:
    """Answer the page, what belongs to it, and `/api/status`; 404 elsewhere."""
    if request.method not in ("GET", "HEAD"):
        headers = {"Allow": "GET, HEAD"}
        return Response("this page is read only\n", http.client.METHOD_NOT_ALLOWED, headers=headers)
    if request.path == "/api/status":
        return Response(json.dumps(status(request.user)), content_type="application/json", headers=_HEADERS)
    if request.path not in _FILES:
        return Response("there is no such page\n", http.client.NOT_FOUND)
    name, kind = _FILES[request.path]
    return Response(_file(name), content_type=f"{kind}; charset=utf-8", headers=_HEADERS)


if __name__ == "__main__":
    sys.exit(run(respond))
