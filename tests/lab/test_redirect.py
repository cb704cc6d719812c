"""What stands on port 80 in front of headscale: a redirect, and what a DERP server answers there."""

import http.client
import io
import shutil
import subprocess

import pytest

from harness.run import places

SCRIPT = str(places.fixtures() / "headscale" / "redirect.sh")
SHELLS = [shell for shell in ("dash", "sh") if shutil.which(shell)]


class _Said:
    """Bytes as http.client reads them from a connection."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._content)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "request_text",
    [
        b"GET / HTTP/1.1\r\nHost: headscale.lab.test\r\n\r\n",
        b"POST /ts2021 HTTP/1.1\r\nHost: x\r\nUpgrade: tailscale\r\nX: back\\slash\r\n\r\nbody",
        b"GET / HTTP/1.0\r\n\r\n",
        b"",
    ],
    ids=["GET", "ts2021", "HTTP/1.0", "nothing"],
)
def test_every_request_is_sent_to_https(shell: str, request_text: bytes) -> None:
    done = subprocess.run(
        [shell, SCRIPT],
        input=request_text,
        capture_output=True,
        timeout=5,
        check=True,
        env={"SERVER_NAME": "headscale.lab.test"},
    )
    assert done.stderr == b""
    answer = http.client.HTTPResponse(_Said(done.stdout))  # type: ignore[arg-type] # all that it needs
    answer.begin()
    assert answer.status == 308
    assert answer.getheader("Location") == "https://headscale.lab.test/"
    assert answer.getheader("Content-Length") == "0"
    assert answer.read() == b""


@pytest.mark.parametrize("shell", SHELLS)
def test_whoever_looks_for_a_log_in_page_finds_none(shell: str) -> None:
    done = subprocess.run(
        [shell, SCRIPT],
        input=(
            b"GET /generate_204?t=1 HTTP/1.1\r\nHost: x\r\n"
            b"X-Tailscale-Challenge: ts_198.51.100.10\r\nA: b\r\n\r\n"
        ),
        capture_output=True,
        timeout=5,
        check=True,
        env={"SERVER_NAME": "headscale.lab.test"},
    )
    assert done.stderr == b""
    answer = http.client.HTTPResponse(_Said(done.stdout))  # type: ignore[arg-type] # all that it needs
    answer.begin()
    assert answer.status == 204
    assert answer.getheader("X-Tailscale-Response") == "response ts_198.51.100.10"
