"""A registry on loopback: Debian's docker-registry."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

_SETTINGS = """
version: 0.1
storage:
  filesystem:
    rootdirectory: {folder}
http:
  addr: {address}
"""


@contextmanager
def registry_on_loopback(folder: Path) -> Iterator[str]:
    """A registry for the time of the block, empty at first, with its files below a folder: its host:port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "config.yml").write_text(_SETTINGS.format(folder=folder / "data", address=address))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        for attempt in Retrying(
            wait=wait_fixed(0.05), stop=stop_after_delay(10), retry=retry_if_exception_type(httpx.HTTPError)
        ):
            with attempt:
                assert server.poll() is None, (folder / "log").read_text()
                httpx.get(f"http://{address}/v2/").raise_for_status()
        yield address
    finally:
        server.kill()
        server.wait()
