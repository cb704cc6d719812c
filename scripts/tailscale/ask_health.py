"""Asks health.py, for a check by script: prints its reasons, ends with 0 when healthy, else with 2.

Consul takes 0 for passing, 1 for a warning and anything else for critical. Run inside the task of health.py,
which has its port; whatever goes wrong in asking is critical too.

Settings, from the environment:
  NOMAD_PORT_health    the port of health.py on 127.0.0.1; required
"""

import http.client
import json
import os
import sys
from collections.abc import Mapping

PASSING, CRITICAL = 0, 2
_SECONDS = 4  # within the check's own time limit


def main(environment: Mapping[str, str]) -> int:
    """Ask once; give the exit code."""
    port = environment.get("NOMAD_PORT_health", "")
    if not port.isdigit():
        print("NOMAD_PORT_health is not set, or no port")
        return CRITICAL
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=_SECONDS)
    try:
        connection.request("GET", "/")
        answer = json.loads(connection.getresponse().read())
        reasons = [str(reason) for reason in answer["reasons"]]
        healthy = answer["healthy"] is True and not reasons
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        print(f"health.py does not answer: {error or type(error).__name__}")
        return CRITICAL
    finally:
        connection.close()
    print("; ".join(reasons) or "in the tailnet, published, and the backend answers")
    return PASSING if healthy else CRITICAL


if __name__ == "__main__":
    sys.exit(main(os.environ))
