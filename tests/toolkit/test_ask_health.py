"""ask_health.py, which a check by script runs: what it says of health.py's answers, and by which exit code.

That it says 0 of a job whose place in the tailnet holds is seen in the lab (consul-service-registration).
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.toolkit.programs import REPOSITORY
from tests.toolkit.tailnet import Process, eventually, free_port

SCRIPTS = REPOSITORY / "scripts/tailscale"


def ask(port: int | str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, SCRIPTS / "ask_health.py"],
        env={"NOMAD_PORT_health": str(port)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert not done.stderr
    return done.returncode, done.stdout.strip()


@contextmanager
def answering(folder: Path, script: str, **environment: str) -> Iterator[int]:
    """A program that answers on a port of loopback."""
    port = free_port()
    variables = {"PATH": os.environ["PATH"], "NOMAD_PORT_health": str(port), **environment}
    command = [sys.executable, *(["-c", script] if "\n" in script else [script])]
    with Process(command, log=folder / "log", environment=variables):
        eventually(
            lambda: "health.py does not answer: [Errno" not in ask(port)[1], seconds=10, what="it listens"
        )
        yield port


def test_reasons_are_critical(tmp_path: Path) -> None:
    """health.py itself, with no tailscaled to ask."""
    backends = f"http://127.0.0.1:{free_port()}/"
    socket = str(tmp_path / "none.sock")
    with answering(
        tmp_path, str(SCRIPTS / "health.py"), HEALTH_OF="serve", BACKENDS=backends, TS_SOCKET=socket
    ) as port:
        code, said = ask(port)
    assert code == 2
    assert said.startswith("tailscaled does not answer")


ANSWER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status})
        self.end_headers()
        self.wfile.write({body!r})
http.server.HTTPServer(("127.0.0.1", int(os.environ["NOMAD_PORT_health"])), Handler).serve_forever()
"""


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (b'{"healthy": true, "reasons": []}', 0, "in the tailnet, published, and the backend answers"),
        (b'{"healthy": false, "reasons": ["a", "b"]}', 2, "a; b"),
        (b'{"healthy": true, "reasons": ["a"]}', 2, "a"),
        (b'{"healthy": "yes", "reasons": []}', 2, "in the tailnet"),
        (b'{"healthy": true}', 2, "health.py does not answer"),
        (b"[]", 2, "health.py does not answer"),
        (b"all is well", 2, "health.py does not answer"),
    ],
)
def test_only_a_clear_yes_passes(tmp_path: Path, body: bytes, code: int, said: str) -> None:
    with answering(tmp_path, ANSWER.format(status=200, body=body)) as port:
        answer = ask(port)
    assert answer[0] == code
    assert said in answer[1]


@pytest.mark.parametrize("port", ["", "health", free_port()], ids=["none", "a word", "nobody there"])
def test_nobody_to_ask_is_critical(port: int | str) -> None:
    assert ask(port)[0] == 2
