"""A small typed client of Nomad's HTTP API: what the harness needs, by blocking queries.

Paths and fields: https://developer.hashicorp.com/nomad/api-docs, read against Nomad 1.11.3.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from harness.errors import LabError

_BLOCK_SECONDS = 10
_FIRST = httpx.Timeout(10, connect=3)
"""Of a first question: an address where nobody is shows at once, who has much to do may take a while."""
_UNREACHABLE = (httpx.TransportError,)
_Parameters = Mapping[str, str | int]


@dataclass(frozen=True)
class TaskEvent:
    """One event of a task, in Nomad's own words; `at` in Unix seconds."""

    type: str
    message: str
    exit_code: int | None
    at: float


@dataclass(frozen=True)
class TaskState:
    """A task of an allocation: pending, running or dead, and how it came to that."""

    name: str
    state: str
    failed: bool
    restarts: int
    events: tuple[TaskEvent, ...]

    @property
    def started(self) -> bool:
        """Whether it ever ran."""
        return any(e.type == "Started" for e in self.events)


@dataclass(frozen=True)
class Allocation:
    """An allocation as the servers know it."""

    id: str
    job: str
    namespace: str
    group: str
    status: str
    description: str
    desired: str
    tasks: tuple[TaskState, ...]
    evaluation: str = ""
    """What placed it."""
    node: str = ""
    """The id of the client that it was placed on."""
    healthy: bool | None = None
    """What Nomad's deployment says of it, by its checks; None before it says anything, and for batch jobs."""

    @property
    def over(self) -> bool:
        """Whether no task of it will run again (nomad/structs, ClientTerminalStatus)."""
        return self.status in ("complete", "failed", "lost")

    def task(self, name: str) -> TaskState | None:
        """The state of one task; None before Nomad has said anything of it."""
        return next((t for t in self.tasks if t.name == name), None)


@dataclass(frozen=True)
class Registered:
    """What registering a job gave: the evaluation, empty for a periodic job."""

    evaluation: str
    warnings: str


def _event(data: Mapping[str, Any]) -> TaskEvent:
    details: Mapping[str, str] = data.get("Details") or {}
    code = details.get("exit_code")
    return TaskEvent(
        type=data["Type"],
        message=data.get("DisplayMessage") or data.get("Message") or "",
        exit_code=int(code) if code not in (None, "") else None,
        at=data["Time"] / 1e9,
    )


def _task(name: str, data: Mapping[str, Any]) -> TaskState:
    return TaskState(
        name=name,
        state=data["State"],
        failed=data["Failed"],
        restarts=data["Restarts"],
        events=tuple(_event(e) for e in data.get("Events") or ()),
    )


def _allocation(data: Mapping[str, Any]) -> Allocation:
    return Allocation(
        id=data["ID"],
        job=data["JobID"],
        namespace=data["Namespace"],
        group=data["TaskGroup"],
        status=data["ClientStatus"],
        description=data.get("ClientDescription") or "",
        desired=data["DesiredStatus"],
        tasks=tuple(_task(n, t) for n, t in sorted((data.get("TaskStates") or {}).items())),
        evaluation=data.get("EvalID") or "",
        node=data.get("NodeID") or "",
        healthy=(data.get("DeploymentStatus") or {}).get("Healthy"),
    )


def _only(job: str) -> dict[str, str]:
    """The parameter that leaves out all allocations but a job's; what a periodic job launches is `job/...`.

    Source: https://developer.hashicorp.com/nomad/api-docs#filtering (go-bexpr).
    """
    return {"filter": f'JobID == "{job}" or JobID matches "^{job}/"'} if job else {}


class NomadClient:
    """Owns one HTTP client to one Nomad agent.

    Every method raises LabError when Nomad answers with an error, with Nomad's own words in it.
    """

    def __init__(
        self,
        transport: httpx.BaseTransport,
        token: str = "",
        *,
        address: str = "http://nomad",
        region: str = "",
    ) -> None:
        """Speak through `transport`; the token goes into a header and nowhere else.

        Args:
            transport: how the agent is reached.
            token: an ACL token, where there are ACLs.
            address: the agent's, where the transport is led by it.
            region: another one than the agent's own.
        """
        self._http = httpx.Client(
            base_url=address,
            transport=transport,
            headers={"X-Nomad-Token": token} if token else {},
            params={"region": region} if region else {},
            timeout=_BLOCK_SECONDS + 20,
        )

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: _Parameters | None = None,
        json: object = None,
        allowed: Sequence[int] = (),
    ) -> httpx.Response:
        try:
            response = self._http.request(method, path, params=params, json=json)
        except _UNREACHABLE as error:
            raise LabError(f"Nomad does not answer {method} {path}: {error}") from error
        if response.is_error and response.status_code not in allowed:
            raise LabError(
                f"Nomad refused {method} {path} ({response.status_code})", log=response.text[:2000]
            )
        return response

    def _get(self, path: str, **parameters: str | int) -> Any:  # noqa: ANN401 - JSON of any shape
        return self._ask("GET", path, params=parameters).json()

    def _changes(self, path: str, seconds: float, **parameters: str | int) -> Iterator[Any]:
        """Give the answer at `path` now and at each change, until the time is over (blocking queries)."""
        index = 0
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            wait = f"{max(1, int(min(left, _BLOCK_SECONDS) * 1000))}ms"
            response = self._ask("GET", path, params={**parameters, "index": index, "wait": wait})
            seen = int(response.headers["X-Nomad-Index"])
            # An index that goes backwards means a restored server: start over (Nomad's API documentation).
            changed, index = seen != index, seen if seen >= index else 0
            if changed:
                yield response.json()

    def reachable(self) -> bool:
        """Whether the agent answers at all and has a leader."""
        try:
            response = self._http.get("/v1/status/leader", timeout=2)
        except _UNREACHABLE:
            return False
        return response.is_success and bool(response.json())

    def wait_for_docker(self, seconds: float) -> str:
        """Wait until the one client node is ready with a healthy Docker driver; its id."""
        last: Any = None
        for last in self._changes("/v1/nodes", seconds):
            for node in last:
                driver = (node.get("Drivers") or {}).get("docker") or {}
                if node["Status"] == "ready" and driver.get("Healthy"):
                    return str(node["ID"])
        state = [(n["Status"], (n.get("Drivers") or {}).get("docker")) for n in last or []]
        raise LabError(f"Nomad's client has no healthy Docker driver after {seconds:g} s; last seen: {state}")

    def version(self) -> str:
        """The agent's version."""
        return str(self._get("/v1/agent/self")["config"]["Version"]["Version"])

    def node(self, node: str) -> dict[str, Any]:
        """A client node as the servers know it, with its attributes."""
        found: dict[str, Any] = self._get(f"/v1/node/{node}")
        return found

    def node_versions(self) -> list[str]:
        """The versions of Nomad on the clients, each once."""
        return sorted({str(n.get("Version") or "") for n in self._get("/v1/nodes")} - {""})

    def own_token(self) -> httpx.Response:
        """What the servers say of the token that this client has, whatever that is: an error as well.

        Raises httpx's transport errors, as this is for finding out whether the servers can be reached at all.
        """
        return self._http.get("/v1/acl/token/self", timeout=_FIRST)

    def policy(self, name: str) -> dict[str, Any]:
        """An ACL policy of the token's own, with its rules as JSON (`RulesJSON`); empty where there is none.

        A token may name one that is not there: that of who has no token, `anonymous`, as a rule is not.
        """
        answer = self._ask("GET", f"/v1/acl/policy/{name}", allowed=(404,))
        found: dict[str, Any] = answer.json() if answer.is_success else {}
        return found

    def role(self, role: str) -> dict[str, Any]:
        """An ACL role of the token's own, with its policies."""
        found: dict[str, Any] = self._get(f"/v1/acl/role/{role}")
        return found

    def create_namespace(self, name: str, description: str) -> None:
        """Make a namespace; making it again changes nothing."""
        self._ask("PUT", f"/v1/namespace/{name}", json={"Name": name, "Description": description})

    def namespace(self, name: str) -> dict[str, Any]:
        """A namespace as it is."""
        found: dict[str, Any] = self._get(f"/v1/namespace/{name}")
        return found

    def put_variable(self, path: str, items: Mapping[str, str], namespace: str) -> None:
        """Write a Nomad Variable. The items are secrets: no error of this method repeats them."""
        body = {"Namespace": namespace, "Path": path, "Items": dict(items)}
        self._ask("PUT", f"/v1/var/{path}", params={"namespace": namespace}, json=body)

    def read_variable(self, path: str, namespace: str) -> dict[str, str]:
        """The items of a Nomad Variable."""
        items: dict[str, str] = self._get(f"/v1/var/{path}", namespace=namespace)["Items"]
        return items

    def variables(self, prefix: str, namespace: str) -> list[str]:
        """The paths of the Nomad Variables that begin so."""
        return [str(v["Path"]) for v in self._get("/v1/vars", namespace=namespace, prefix=prefix)]

    def delete_variable(self, path: str, namespace: str) -> None:
        """Remove a Nomad Variable; one that is not there is no matter."""
        self._ask("DELETE", f"/v1/var/{path}", params={"namespace": namespace}, allowed=(404,))

    def register(self, job: Mapping[str, Any], namespace: str) -> Registered:
        """Register a job given as the API's JSON, in a namespace."""
        body = {"Job": {**job, "Namespace": namespace}}
        answer = self._ask("PUT", "/v1/jobs", params={"namespace": namespace}, json=body).json()
        return Registered(answer.get("EvalID") or "", answer.get("Warnings") or "")

    def job(self, job: str, namespace: str) -> dict[str, Any]:
        """A job as it is registered."""
        found: dict[str, Any] = self._get(f"/v1/job/{job}", namespace=namespace)
        return found

    def stop(self, job: str, namespace: str, *, purge: bool) -> None:
        """Stop a job, and forget it when `purge` is true."""
        self._ask("DELETE", f"/v1/job/{job}", params={"namespace": namespace, "purge": str(purge).lower()})

    def jobs(self, namespace: str, prefix: str = "") -> list[str]:
        """The ids of all jobs of a namespace that begin so: those that periodic jobs launched as well."""
        return list(self.job_metas(namespace, prefix))

    def job_metas(self, namespace: str, prefix: str = "") -> dict[str, dict[str, str]]:
        """The meta of all jobs of a namespace whose id begins so, by the job's id."""
        found = self._get("/v1/jobs", namespace=namespace, prefix=prefix, meta="true")
        return {str(job["ID"]): dict(job.get("Meta") or {}) for job in found}

    def force(self, job: str, namespace: str) -> str:
        """Launch a periodic job now, whatever its schedule says; the id of the job that this makes."""
        answer = self._ask("PUT", f"/v1/job/{job}/periodic/force", params={"namespace": namespace}).json()
        evaluation = self._get(f"/v1/evaluation/{answer['EvalID']}", namespace=namespace)
        return str(evaluation["JobID"])

    def allocations(self, namespace: str, job: str = "") -> list[Allocation]:
        """The allocations of a namespace as they stand: all, or those of a job and of what it launched."""
        return [_allocation(a) for a in self._get("/v1/allocations", namespace=namespace, **_only(job))]

    def follow(self, namespace: str, seconds: float, job: str = "") -> Iterator[list[Allocation]]:
        """The same now and at each change, until the time is over."""
        for answer in self._changes("/v1/allocations", seconds, namespace=namespace, **_only(job)):
            yield [_allocation(a) for a in answer]

    def restart(self, allocation: str, task: str) -> None:
        """Let the client restart one task of an allocation, as `nomad alloc restart` does."""
        self._ask("PUT", f"/v1/client/allocation/{allocation}/restart", json={"TaskName": task})

    def move(self, allocation: str) -> None:
        """Stop an allocation and let it be placed anew, as `nomad alloc stop` does."""
        self._ask("PUT", f"/v1/allocation/{allocation}/stop")

    def ports(self, allocation: str) -> tuple[int, ...]:
        """The ports that an allocation was given on its node's network."""
        resources = self._get(f"/v1/allocation/{allocation}")["AllocatedResources"] or {}
        ports = (resources.get("Shared") or {}).get("Ports") or ()
        return tuple(int(port["Value"]) for port in ports)

    def checks_pass(self, allocation: str) -> bool:
        """Whether Nomad's own checks of a running allocation have run and pass, as its client knows it.

        The deployment's word, `Allocation.healthy`, comes a second or two later (nomad, client/allochealth).
        A check that is Consul's is not among them, so it is never said of those.
        """
        checks = self._get(f"/v1/client/allocation/{allocation}/checks") or {}
        return bool(checks) and all(check["Status"] == "success" for check in checks.values())

    def placement_failures(self, job: str, namespace: str) -> list[str]:
        """Why an evaluation of a job placed nothing, in Nomad's terms; empty when it did."""
        reasons: list[str] = []
        for evaluation in self._get(f"/v1/job/{job}/evaluations", namespace=namespace):
            for group, metric in (evaluation.get("FailedTGAllocs") or {}).items():
                filtered = {
                    **(metric.get("ConstraintFiltered") or {}),
                    **(metric.get("DimensionExhausted") or {}),
                }
                reasons.append(f"group {group}: {', '.join(filtered) or 'no node is eligible'}")
        # An evaluation that is blocked says the same as the one that it follows.
        return list(dict.fromkeys(reasons))

    def log(self, allocation: str, task: str, stream: str) -> str:
        """What a task printed to stdout or stderr so far; empty when it never ran."""
        parameters = {"task": task, "type": stream, "plain": "true", "origin": "start"}
        try:
            response = self._http.get(f"/v1/client/fs/logs/{allocation}", params=parameters)
        except _UNREACHABLE as error:
            raise LabError(f"Nomad does not give the log of {task}: {error}") from error
        # A task that never started has no log file, which Nomad says with a 404 or a 500 of this text.
        if response.is_error and ("not found" in response.text or "not started" in response.text):
            return ""
        if response.is_error:
            raise LabError(
                f"Nomad does not give the log of {task} ({response.status_code})", log=response.text
            )
        return response.text
