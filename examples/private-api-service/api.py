"""A JSON API for the tailnet: a small inventory, kept in memory, that says who changed what.

    GET    /v1/items         all of them
    GET    /v1/items/NAME    one
    PUT    /v1/items/NAME    sets one to the body, a JSON object
    DELETE /v1/items/NAME    removes one
    GET    /v1/status        how many there are, and how many requests were answered

Errors are JSON too: {"error": "..."}. Settings, from the environment:
  LISTEN_PORT   the port on 127.0.0.1; required
  API_ITEMS     the names of items that are there from the start, comma separated
"""

import http.client
import json
import os
import re
import sys
import threading
from typing import Any

from loopback import Request, Response, run

MOST_ITEMS = 1000
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")


def _json(data: object, status: int = http.client.OK, **headers: str) -> Response:
    body = json.dumps(data, indent=2, sort_keys=True) + "\n"
    return Response(body, status, "application/json", headers)


def _error(status: int, text: str, **headers: str) -> Response:
    return _json({"error": text}, status, **headers)


class Inventory:
    """The items; requests come side by side, so each change is made under a lock."""

    def __init__(self, names: list[str]) -> None:
        """Start with these names, each an empty item."""
        self._items: dict[str, dict[str, Any]] = {name: {"changed_by": ""} for name in names}
        self._lock = threading.Lock()
        self._answered = 0

    def respond(self, request: Request) -> Response:
        """Answer one request."""
        with self._lock:
            self._answered += 1
            kind, _, name = request.path.removeprefix("/v1/").partition("/")
            if request.path == "/v1/status":
                return _json({"answered": self._answered, "items": len(self._items)})
            if not request.path.startswith("/v1/") or kind != "items":
                return _error(http.client.NOT_FOUND, "there is nothing at this path; try /v1/items")
            if not name:
                return self._all(request)
            if not _NAME.fullmatch(name):
                return _error(http.client.BAD_REQUEST, "a name has a-z, 0-9, dots and hyphens")
            return self._one(request, name)

    def _all(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _error(http.client.METHOD_NOT_ALLOWED, "one item at a time", Allow="GET, HEAD")
        return _json({"items": self._items})

    def _one(self, request: Request, name: str) -> Response:
        if request.method == "PUT":
            return self._put(request, name)
        if name not in self._items:
            return _error(http.client.NOT_FOUND, f"there is no item {name}")
        if request.method == "DELETE":
            return _json(self._items.pop(name))
        if request.method in ("GET", "HEAD"):
            return _json(self._items[name])
        return _error(http.client.METHOD_NOT_ALLOWED, "not so", Allow="GET, HEAD, PUT, DELETE")

    def _put(self, request: Request, name: str) -> Response:
        try:
            item = json.loads(request.body)
        except ValueError:
            return _error(http.client.BAD_REQUEST, "the body is not JSON")
        if not isinstance(item, dict):
            return _error(http.client.BAD_REQUEST, "an item is a JSON object")
        if name not in self._items and len(self._items) >= MOST_ITEMS:
            return _error(http.client.INSUFFICIENT_STORAGE, f"there are {MOST_ITEMS} items already")
        known = name in self._items
        self._items[name] = {**item, "changed_by": request.user}
        return _json(self._items[name], http.client.OK if known else http.client.CREATED)


if __name__ == "__main__":
    given = os.environ.get("API_ITEMS", "")
    sys.exit(run(Inventory([name.strip() for name in given.split(",") if name.strip()]).respond))
