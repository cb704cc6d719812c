"""Jobs as Nomad renders them, cut down to what is read of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.job.reading import Reading, read
from harness.job.rendering import by_lifecycle

FILE = Path("jobs/mine.nomad.hcl")
PRESTART = {"Hook": "prestart", "Sidecar": False}
SIDECAR = {"Hook": "prestart", "Sidecar": True}
KEY = '{{ with nomadVar "nomad/jobs/mine" }}{{ .TS_AUTHKEY }}{{ end }}'
IMAGE = "tailscale/tailscale:v1.102.3"


def task(
    name: str,
    lifecycle: Mapping[str, object] | None = None,
    *,
    image: str = "python:3.13-slim",
    command: str = "",
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    templates: Mapping[str, str] | None = None,
    **config: object,
) -> dict[str, Any]:
    config = {"image": image, "network_mode": "host", **config}
    if command:
        config |= {"command": command, "args": list(args)}
    return {
        "Name": name,
        "Driver": "docker",
        "Lifecycle": lifecycle,
        "Config": config,
        "Env": env,
        "Templates": [{"DestPath": d, "EmbeddedTmpl": t} for d, t in (templates or {}).items()] or None,
    }


SIDECAR_TASK = task(
    "tailscale", SIDECAR, image=IMAGE, command="tailscaled", args=["--tun=userspace-networking"]
)
WORKER = task("worker", env={"https_proxy": "http://127.0.0.1:${NOMAD_PORT_http}"})


def job(*tasks: Mapping[str, Any], **group: object) -> dict[str, Any]:
    return {"ID": "mine", "TaskGroups": [{"Name": "mine", "Count": 1, "Tasks": list(tasks), **group}]}


def reading(*tasks: Mapping[str, Any], text: str = 'job "mine" {', **group: object) -> Reading:
    return read(by_lifecycle(job(*tasks, **group)), text, FILE)
