"""A maintenance switch: the state for those who may read it, and a log of who turned it.

    GET  /         {"maintenance": false, "log": [...]}
    POST /         the body {"maintenance": true} or {"maintenance": false}

The tailnet's policy decides who gets here at all. A second line stands here: only the logins of SWITCH_USERS
may turn it, by the name that Tailscale Serve gives for whoever asks. Settings, from the environment:
  LISTEN_PORT    the port on 127.0.0.1; required
  SWITCH_USERS   logins that may turn it, comma separated; empty: nobody
"""

import http.client
import json
import os
import sys
import threading
import time
from collections import deque

from loopback import Request, Response, run

KEPT = 100


def _json(data: object, status: int = http.client.OK) -> Response:
    return Response(json.dumps(data) + "\n", status, "application/json", {"Cache-Control": "no-store"})


class Switch:
    """The state, and the last turns."""

    def __init__(self, users: frozenset[str]) -> None:
        """Take the logins that may turn it."""
        self._users = users
        self._on = False
        self._log: deque[dict[str, object]] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def respond(self, request: Request) -> Response:
        """Answer one request."""
        if request.path != "/":
            return _json({"error": "there is one switch, at /"}, http.client.NOT_FOUND)
        if request.method == "POST":
            return self._turn(request)
        if request.method not in ("GET", "HEAD"):
            return _json({"error": "GET or POST"}, http.client.METHOD_NOT_ALLOWED)
        with self._lock:
            return _json({"maintenance": self._on, "log": list(self._log)})

    def _turn(self, request: Request) -> Response:
        if request.user not in self._users:
            who = request.user or "a node without a user"
            return _json({"error": f"{who} may not turn the switch"}, http.client.FORBIDDEN)
        try:
            wanted = json.loads(request.body)["maintenance"]
        except (ValueError, KeyError, TypeError):
            wanted = None
        if not isinstance(wanted, bool):
            return _json({"error": 'the body is {"maintenance": true} or false'}, http.client.BAD_REQUEST)
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._lock:
            self._on = wanted
            self._log.append({"at": moment, "by": request.user, "maintenance": wanted})
            return _json({"maintenance": self._on})


if __name__ == "__main__":
    given = os.environ.get("SWITCH_USERS", "")
    sys.exit(run(Switch(frozenset(user.strip() for user in given.split(",") if user.strip())).respond))
