"""The user's Docker: by DOCKER_HOST, else by the current context, else by the default socket."""

import os
from dataclasses import dataclass
from pathlib import Path

import docker
from docker import ContextAPI
from docker.errors import DockerException
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env

from harness.engine.engine import Engine
from harness.errors import LabError

ANSWER_TIMEOUT = 3
"""Seconds in which the user's Docker must answer to be there."""
OLDEST_API = (1, 41)
"""Engine 20.10: the oldest the lab was run on."""
_DEFAULT_SOCKET = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class Silence:
    """Where the user's Docker was looked for, and why it is not there."""

    where: str
    reason: str


def users_engine() -> Engine | Silence:
    """Look for the user's Docker.

    Raises:
        LabError: it answers, but is too old, or runs no Linux containers.
    """
    where, tls = _address()
    socket = where.removeprefix("unix://")
    if socket != where and not Path(socket).exists():
        return Silence(where, "there is no such socket")
    try:
        client = docker.DockerClient(
            base_url=where,
            timeout=ANSWER_TIMEOUT,
            tls=tls or False,
            use_ssh_client=where.startswith("ssh://"),
        )
    except (DockerException, OSError, ValueError) as error:
        return Silence(where, _why(error))
    try:
        version, info = client.version(), client.info()
    except (DockerException, OSError, ValueError) as error:
        return Silence(where, _why(error))
    finally:
        client.close()
    api: str = version["ApiVersion"]
    if tuple(int(part) for part in api.split(".")) < OLDEST_API:
        raise LabError(
            f"the Docker at {where} is {version['Version']} (API {api}); the lab needs 20.10 or newer",
            remedy="update it, or set NOTAILCAR_ENGINE=own as root on Debian or Ubuntu",
        )
    if version.get("Os") != "linux":
        raise LabError(f"the Docker at {where} runs {version.get('Os')} containers; the lab needs Linux ones")
    return Engine(
        base_url=where,
        own=False,
        version=version["Version"],
        api_version=api,
        data_root=_local_folder(where, info.get("DockerRootDir", "")),
        tls=tls,
    )


def _address() -> tuple[str, TLSConfig | None]:
    if os.environ.get("DOCKER_HOST"):
        try:
            settings = kwargs_from_env()
        except DockerException as error:
            raise LabError(f"DOCKER_HOST and its TLS settings cannot be used: {error}") from error
        tls = settings.get("tls")
        return os.environ["DOCKER_HOST"], tls if isinstance(tls, TLSConfig) else None
    context = ContextAPI.get_current_context()
    if context is None or context.Name == "default" or not context.Host:
        return _DEFAULT_SOCKET, None
    return str(context.Host), context.TLSConfig


def _local_folder(where: str, folder: str) -> Path | None:
    path = Path(folder)
    return path if folder and where.startswith("unix://") and path.is_dir() else None


def _why(error: Exception) -> str:
    text = str(error)
    if "Permission denied" in text or "PermissionError" in text:
        return "permission denied"
    return text.splitlines()[0][:200] if text else type(error).__name__
