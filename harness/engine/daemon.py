"""The daemon of an own engine: how it is started, asked, emptied and ended. When, is decided in own.py."""

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from harness.engine.children import search_path, which
from harness.engine.engine import Engine
from harness.engine.process import Process, with_argument
from harness.errors import LabError
from harness.run import go_programs, places
from harness.run.run import RUN_LABEL

START_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0
WEDGED_AFTER = 5
"""Seconds without an answer after which an engine is taken for wedged."""
_POLL = 0.02
_FIRST_API = "1.41"
_LOG_LINES = 15
_LOG_KEPT = 5_000_000
# What the engine may see of our environment: it outlives us, and our settings hold secrets.
_ENVIRONMENT = ("HOME", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
_MACHINE_SETTINGS = Path("/etc/docker/daemon.json")
_SETTINGS_KEPT = ("registry-mirrors", "insecure-registries", "dns", "proxies")


class OwnPlaces:
    """The folders of the own engine: what is kept lies in the cache, what is live below /run."""

    def __init__(self) -> None:
        cache = places.cache()
        # A socket's path has at most 107 bytes, and a cache may lie anywhere.
        name = hashlib.sha256(str(cache.resolve()).encode()).hexdigest()[:8]
        self.live = Path("/run/notailcar") / name
        self.leases = self.live / "leases"
        self.lock = self.live / "lock"
        self.socket = self.live / "sock"
        self.pidfile = self.live / "pid"
        self.exec_root = self.live / "exec"
        self.settings = self.live / "daemon.json"
        self.data = cache / "engine" / "data"
        self.log = cache / "engine" / "dockerd.log"


def find_dockerd(where: OwnPlaces) -> Process | None:
    """The daemon of this cache, if it runs."""
    return next(with_argument(f"--pidfile={where.pidfile}"), None)


def _containerd(where: OwnPlaces) -> Iterator[Process]:
    return with_argument(str(where.exec_root / "containerd" / "containerd.toml"))


def all_processes(where: OwnPlaces) -> Iterator[Process]:
    """All that belongs to this engine: dockerd, its containerd, and a shim for each container."""
    containerd = where.exec_root / "containerd"
    return with_argument(
        f"--pidfile={where.pidfile}", str(containerd / "containerd.toml"), str(containerd / "containerd.sock")
    )


def start(where: OwnPlaces) -> Engine:
    """Start the daemon and wait until it answers.

    Raises:
        LabError: it cannot be started, ended by itself or does not answer; carries the end of its log.
    """
    try:
        where.data.mkdir(parents=True, exist_ok=True, mode=0o711)
    except OSError as error:
        raise LabError(
            f"the own engine's folder {where.data} cannot be made: {error.strerror}",
            remedy="move away what is there, or set NOTAILCAR_CACHE to another folder",
        ) from error
    where.settings.write_text(json.dumps(_settings()), encoding="utf-8")
    printed = where.log.stat().st_size if where.log.exists() else 0
    if printed > _LOG_KEPT:
        where.log.unlink()
        printed = 0
    # Its own session: Ctrl-C in the terminal is ours to handle, and other runs may go on. No Popen, whose
    # end is its child's: this one may well outlive us.
    append = os.O_CREAT | os.O_WRONLY | os.O_APPEND
    argv = _command(where)
    pid = os.posix_spawn(
        argv[0],
        argv,
        _environment(),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(where.log), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    try:
        process: Process | None = Process.of(pid)
    except ProcessLookupError:
        process = None
    try:
        return _await(where, pid, printed)
    except BaseException:
        if process:
            process.send(signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
        raise


def _command(where: OwnPlaces) -> list[str]:
    dockerd, unshare = which("dockerd"), which("unshare")
    if dockerd is None or unshare is None:
        raise LabError(
            "an own engine needs dockerd and unshare, and one of them is missing",
            remedy="install the packages docker.io and util-linux",
        )
    argv = [
        dockerd,
        f"--config-file={where.settings}",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
        "--ip-masq=false",
        f"--data-root={where.data}",
        f"--exec-root={where.exec_root}",
        f"--pidfile={where.pidfile}",
        f"--host=unix://{where.socket}",
        "--group=root",
    ]
    # Its mounts stay its own: when it dies, however it dies, none of them is left on the machine.
    return [unshare, "--mount", "--propagation=slave", "--", *argv]


def _settings() -> dict[str, Any]:
    with suppress(OSError, ValueError):
        machine = json.loads(_MACHINE_SETTINGS.read_text(encoding="utf-8"))
        return {key: machine[key] for key in _SETTINGS_KEPT if key in machine}
    return {}


def _environment() -> dict[str, str]:
    kept = {
        name: os.environ[name]
        for name in (*_ENVIRONMENT, *map(str.lower, _ENVIRONMENT))
        if name in os.environ
    }
    return {**kept, **go_programs.SPARED, "PATH": search_path()}


class _NotYetError(Exception):
    pass


def _await(where: OwnPlaces, pid: int, printed: int) -> Engine:
    def look() -> Engine:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            raise LabError(
                f"the own engine ended while it started (dockerd, code {os.waitstatus_to_exitcode(status)})",
                log=log_tail(where.log, printed),
                remedy=f"the whole log is {where.log}",
            )
        engine = answer(where) if where.socket.exists() else None
        if engine is None:
            raise _NotYetError
        return engine

    retrying = Retrying(
        wait=wait_fixed(_POLL),
        stop=stop_after_delay(START_TIMEOUT),
        retry=retry_if_exception_type(_NotYetError),
    )
    try:
        return retrying(look)
    except RetryError as error:
        raise LabError(
            f"the own engine did not answer within {START_TIMEOUT:.0f} s of its start",
            log=log_tail(where.log, printed),
            remedy=f"the whole log is {where.log}",
        ) from error


def answer(where: OwnPlaces) -> Engine | None:
    """The engine, if its daemon answers within a few seconds."""
    url = f"unix://{where.socket}"
    client = docker.DockerClient(base_url=url, version=_FIRST_API, timeout=WEDGED_AFTER)
    try:
        version = client.version()
    except (DockerException, RequestException, OSError):
        return None
    finally:
        client.close()
    return Engine(
        base_url=url,
        own=True,
        version=version["Version"],
        api_version=version["ApiVersion"],
        data_root=where.data,
    )


def stop(where: OwnPlaces) -> None:
    """End the daemon and all that runs in it, and wait until it is gone.

    Raises:
        LabError: it does not end.
    """
    process = find_dockerd(where)
    if process:
        engine = answer(where)
        if engine:
            empty(engine)
        containerd = next(_containerd(where), None)
        process.send(signal.SIGTERM)
        # It ends its containerd last, then idles for a second before it goes: that second is not waited for.
        (containerd or process).wait(STOP_TIMEOUT)
        kill(process)
        with suppress(ChildProcessError):
            os.waitpid(process.pid, 0)
    clear(where)


def clear(where: OwnPlaces) -> None:
    """End what outlived its dockerd, and remove what it left behind."""
    for left_over in _containerd(where):
        kill(left_over)
    # A new dockerd ends the containers that it finds running, but gives each ten seconds to go by itself.
    for shim in with_argument(str(where.exec_root / "containerd" / "containerd.sock")):
        for container in shim.children():
            kill(container)
    # Where PID 1 does not reap, a killed containerd stays a zombie, which dockerd takes for alive.
    (where.exec_root / "containerd" / "containerd.pid").unlink(missing_ok=True)
    where.pidfile.unlink(missing_ok=True)
    where.socket.unlink(missing_ok=True)


def kill(process: Process) -> None:
    """Kill a process of the engine and wait until it is gone.

    Raises:
        LabError: it does not end.
    """
    process.send(signal.SIGKILL)
    if not process.wait(STOP_TIMEOUT):
        raise LabError(f"a process of the own engine (pid {process.pid}) does not end")


def empty(engine: Engine) -> None:
    """Remove every container and every run's volume: nobody holds this engine, so they belong to the dead.

    Volumes without a run's label are kept for the next run, as images are.
    """
    client = engine.client()
    try:
        for container in client.containers.list(all=True, ignore_removed=True):
            with suppress(APIError):
                container.remove(force=True, v=True)
        for volume in client.volumes.list(filters={"label": RUN_LABEL}):
            with suppress(APIError):
                volume.remove(force=True)
    except DockerException:
        # Its containers end with it in any case, only slower.
        return
    finally:
        client.close()


def log_tail(log: Path, printed: int = 0) -> str:
    """The last lines of the daemon's log, of those after the first `printed` bytes."""
    try:
        with log.open("rb") as stream:
            stream.seek(printed)
            lines = stream.read()[-20_000:].decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-_LOG_LINES:])
