"""An engine that answers: where it is, whose it is, and how to talk to it."""

from dataclasses import dataclass
from pathlib import Path

import docker
from docker.tls import TLSConfig

CALL_TIMEOUT = 600
"""Seconds that one call may take: an image build answers nothing while a large layer is committed."""


@dataclass(frozen=True)
class Engine:
    """A Docker engine that answered when it was looked for.

    Attributes:
        base_url: the host URL, as DOCKER_HOST takes it.
        own: True for the harness's own engine, in which nothing belongs to anybody else.
        version: the engine's version, such as 20.10.24.
        api_version: the newest API version that it speaks.
        data_root: where it keeps images, or None where that is another machine's folder.
        tls: certificates for an engine behind TLS.
    """

    base_url: str
    own: bool
    version: str
    api_version: str
    data_root: Path | None
    tls: TLSConfig | None = None

    def client(self) -> docker.DockerClient:
        """Open a client; the caller closes it. Makes no call by itself."""
        return docker.DockerClient(
            base_url=self.base_url,
            version=self.api_version,
            timeout=CALL_TIMEOUT,
            tls=self.tls or False,
            use_ssh_client=self.base_url.startswith("ssh://"),
        )

    def describe(self) -> str:
        """Say in one line which engine this is."""
        whose = "the harness's own" if self.own else "yours"
        return f"Docker {self.version} at {self.base_url} ({whose})"
