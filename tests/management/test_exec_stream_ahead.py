"""What the engine sends in one piece with its headers is not lost."""

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from harness.management.exec_stream import ExecStream

SAID = b"more than a first word"
FRAME = b"\1\0\0\0" + len(SAID).to_bytes(4, "big") + SAID
UPGRADED = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)


class HastyEngine(socketserver.StreamRequestHandler):
    """Speaks two calls of the Engine API: makes an exec, and starts one that has said all it says at once."""

    def handle(self) -> None:
        while request := self.rfile.readline():
            length = 0
            while (line := self.rfile.readline().strip().lower()) != b"":
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.rfile.read(length)
            if b"/start" in request:
                self.wfile.write(UPGRADED + FRAME[:15])
                self.wfile.write(FRAME[15:])
                return
            body = b'{"Id":"e1"}'
            self.wfile.write(
                b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[DockerClient]:
    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "sock"), HastyEngine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = DockerClient(base_url=f"unix://{tmp_path / 'sock'}", version="1.41")
        yield client
        client.close()
        server.shutdown()


def test_frames_that_come_with_the_headers_are_read(hasty: DockerClient) -> None:
    stream = ExecStream(hasty, "container", ["true"])
    assert b"".join(iter(lambda: stream.read(5), b"")) == SAID
    stream.close()
