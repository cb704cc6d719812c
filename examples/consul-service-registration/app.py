"""A private HTTP service that is found by a catalogue: it says which allocation of it answers.

Settings, from the environment:
  LISTEN_PORT            the port on 127.0.0.1; required
  SERVICE_NAME           its name in the catalogue; default: private-app
  NOMAD_SHORT_ALLOC_ID   set by Nomad
"""

import http.client
import json
import os
import sys

from loopback import Request, Response, run


def respond(request: Request) -> Response:
    """Answer at `/` who this is, and 404 elsewhere."""
    if request.path != "/":
        return Response("there is nothing here\n", http.client.NOT_FOUND)
    if request.method not in ("GET", "HEAD"):
        headers = {"Allow": "GET, HEAD"}
        return Response("this can only be read\n", http.client.METHOD_NOT_ALLOWED, headers=headers)
    said = {
        "service": os.environ.get("SERVICE_NAME") or "private-app",
        "allocation": os.environ.get("NOMAD_SHORT_ALLOC_ID", ""),
        "asked_by": request.user,
    }
    headers = {"Cache-Control": "no-store"}
    return Response(json.dumps(said) + "\n", content_type="application/json", headers=headers)


if __name__ == "__main__":
    sys.exit(run(respond))
