"""What a job is taken for: by what its tasks do, and not by what they are called."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import EXIT_USAGE, UsageError
from harness.job.example import EXAMPLES_KEY, AuthKeyPlace, Example, ServePromise, Smoke
from harness.job.reading import TAILSCALES_OWN, Reading, check_variables, variables_wanted
from harness.job.rendering import by_lifecycle
from tests.job.jobs import IMAGE, KEY, PRESTART, SIDECAR, SIDECAR_TASK, WORKER, job, reading, task

GUARD = task(
    "proof",
    PRESTART,
    image=IMAGE,
    command="sh",
    args=["local/guard.sh"],
    env={"EXIT_NODE": "exit-a", "LOGIN_SERVER": "https://hs.test"},
)


def parts(found: Reading) -> dict[str, str]:
    return {t.name: t.part for t in found.tasks}


# -- the sidecar


@pytest.mark.parametrize(
    "sidecar",
    [
        SIDECAR_TASK,
        task(
            "vpn",
            SIDECAR,
            image="mine:1",
            command="/usr/local/bin/tailscaled",
            args=["--tun=userspace-networking"],
        ),
        task(
            "vpn",
            SIDECAR,
            image="mine:1",
            command="sh",
            args=["-c", "exec tailscaled --tun=userspace-networking"],
        ),
        task(
            "vpn",
            SIDECAR,
            image="mine:1",
            command="sh",
            args=["/local/up.sh"],
            templates={"local/up.sh": "#!/bin/sh\nset -eu\ntailscaled --state=mem: &\nwait\n"},
        ),
        task("vpn", SIDECAR, image="mine:1", templates={"local/up.sh": 'set -- --x\ntailscaled "$@" &\n'}),
        task("vpn", SIDECAR, image="ghcr.io/tailscale/tailscale:v1.102.3"),
        task("vpn", SIDECAR, image="tailscale/tailscale:v1", command="/usr/local/bin/containerboot"),
    ],
    ids=["plain", "path", "shell", "script", "set", "image", "containerboot"],
)
def test_a_sidecar_is_what_runs_tailscaled(sidecar: dict[str, object]) -> None:
    found = reading(sidecar, GUARD, WORKER)
    assert found.of("sidecar") == (sidecar["Name"],)
    assert parts(found)["worker"] == "worker"


@pytest.mark.parametrize(
    "other",
    [
        task("talk", SIDECAR, image="mine:1", command="sh", args=["-c", "echo tailscaled is not here"]),
        task("talk", SIDECAR, image="mine:1", templates={"x.sh": "# tailscaled --state=mem:\ntrue\n"}),
        task("talk", SIDECAR, image=IMAGE, command="sleep", args=["9"]),
        task("tailscaled", SIDECAR, image="mine:1", command="sleep", args=["9"]),
    ],
    ids=["spoken of", "in a comment", "the image alone", "the name alone"],
)
def test_what_only_speaks_of_tailscaled_is_none(other: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="has no sidecar"):
        reading(other, GUARD, WORKER)


def test_no_sidecar_is_named_with_file_and_line() -> None:
    text = '# mine\n\njob "mine" {\n  group "mine" {\n'
    with pytest.raises(UsageError) as caught:
        reading(WORKER, text=text)
    assert caught.value.exit_code == EXIT_USAGE
    assert caught.value.problem.startswith("jobs/mine.nomad.hcl:4: job mine has no sidecar")
    assert "worker (python:3.13-slim)" in caught.value.log
    assert "modules/nomad" in caught.value.remedy


def test_tailscaled_that_is_no_sidecar_is_named_with_its_line() -> None:
    loose = task("tailscale", None, image=IMAGE, command="tailscaled", args=["--state=mem:"])
    with pytest.raises(
        UsageError, match=r"mine\.nomad\.hcl:2: task tailscale runs tailscaled, but is no sidecar"
    ):
        reading(loose, GUARD, WORKER, text='job "mine" {\n  task "tailscale" {\n')


# -- the way out


def test_an_exit_by_the_guards_settings() -> None:
    found = reading(SIDECAR_TASK, GUARD, WORKER)
    assert (found.kind, found.exits, found.fallback) == ("egress", ("exit-a",), ())
    assert parts(found) == {"tailscale": "sidecar", "proof": "guard", "worker": "worker"}
    assert found.login_server == "https://hs.test"
    assert found.proxied
    assert not found.confined


def test_fallbacks_in_their_order_and_never_the_exit_itself() -> None:
    guard = task("g", PRESTART, env={"EXIT_NODE": "b", "FALLBACK_EXIT_NODES": " a, b ,c,"})
    found = reading(SIDECAR_TASK, guard, WORKER)
    assert (found.exits, found.fallback) == (("b",), ("a", "c"))


@pytest.mark.parametrize(
    ("script", "env", "expected"),
    [
        ("tailscale up --exit-node=fra --ssh=false", {}, "fra"),
        ("tailscale set --exit-node fra", {}, "fra"),
        ('tailscale set --exit-node="fra"', {}, "fra"),
        ("tailscale set --exit-node=$WAY_OUT", {"WAY_OUT": "fra"}, "fra"),
        ("tailscale set --exit-node=${WAY_OUT}", {"WAY_OUT": "fra"}, "fra"),
        ("tailscale up -exit-node=100.64.0.3", {}, "100.64.0.3"),
    ],
)
def test_an_exit_by_a_command(script: str, env: dict[str, str], expected: str) -> None:
    up = task("up", PRESTART, image=IMAGE, command="sh", args=["-c", script], env=env)
    assert reading(SIDECAR_TASK, up, WORKER).exits == (expected,)


def test_an_exit_by_the_images_own_arguments() -> None:
    box = task(
        "ts", SIDECAR, image=IMAGE, env={"TS_EXTRA_ARGS": "--login-server=https://hs.test --exit-node=fra"}
    )
    found = reading(box, WORKER)
    assert (found.exits, found.login_server) == (("fra",), "https://hs.test")


@pytest.mark.parametrize("script", ["tailscale set --exit-node=$unknown", "tailscale set --exit-node="])
def test_what_only_a_shell_knows_is_not_guessed(script: str) -> None:
    up = task("up", PRESTART, image=IMAGE, command="sh", args=["-c", script])
    with pytest.raises(UsageError, match="nothing to prove"):
        reading(SIDECAR_TASK, up, WORKER)


def test_a_job_that_neither_leaves_nor_serves() -> None:
    with pytest.raises(UsageError, match=r"mine\.nomad\.hcl:3: job mine joins a tailnet, and neither"):
        reading(SIDECAR_TASK, WORKER, text='\n\njob "mine" {\n')


@pytest.mark.parametrize("mode", ["none", "container:tailscale-${NOMAD_ALLOC_ID}"])
def test_workers_without_a_network_are_confined(mode: str) -> None:
    assert reading(SIDECAR_TASK, GUARD, task("worker", network_mode=mode)).confined


def test_one_worker_on_the_nodes_network_is_enough_to_be_none() -> None:
    assert not reading(SIDECAR_TASK, GUARD, task("worker", network_mode="none"), task("other")).confined


def test_a_worker_without_proxies() -> None:
    assert not reading(SIDECAR_TASK, GUARD, task("worker")).proxied


def test_a_gate_knows_the_exit_and_stays() -> None:
    gate = task("doors", SIDECAR, env={"EXIT_NODE": "exit-a"})
    assert parts(reading(SIDECAR_TASK, gate, GUARD, WORKER))["doors"] == "gate"


def test_what_is_neither_is_beside() -> None:
    after = task("bye", {"Hook": "poststop", "Sidecar": False})
    assert parts(reading(SIDECAR_TASK, GUARD, WORKER, after))["bye"] == "beside"


def test_names_that_workers_speak_to() -> None:
    worker = task(
        "worker",
        env={
            "API": "https://API.example.com/v1,http://127.0.0.1:80",
            "PLAIN": "http://one.example.org:8080/x",
        },
        templates={"local/worker.py": "# see https://docs.example.net/\n"},
    )
    assert reading(SIDECAR_TASK, GUARD, worker).asks == ("api.example.com", "one.example.org")


def test_no_login_server_is_tailscales() -> None:
    guard = task("g", PRESTART, env={"EXIT_NODE": "a"})
    assert reading(SIDECAR_TASK, guard, WORKER).login_server == TAILSCALES_OWN


# -- who it is


def test_a_tag_of_a_command_goes_before_one_of_a_comment() -> None:
    up = task(
        "up", PRESTART, command="sh", args=["-c", "tailscale up --advertise-tags=tag:mine --exit-node=a"]
    )
    assert reading(SIDECAR_TASK, up, WORKER, text='# tag:other\njob "mine" {').tags == ("tag:mine",)


def test_a_tag_of_the_text() -> None:
    assert reading(SIDECAR_TASK, GUARD, WORKER, text="# tagged tag:crawler").tags == ("tag:crawler",)


def test_the_auth_key_is_where_a_template_reads_it() -> None:
    guard = task("g", PRESTART, env={"EXIT_NODE": "a"}, templates={"secrets/key": KEY})
    assert reading(SIDECAR_TASK, guard, WORKER).auth_key == AuthKeyPlace("nomad/jobs/mine", "TS_AUTHKEY")


@pytest.mark.parametrize(
    ("template", "place"),
    [
        ('{{ with nomadVar "a/b" }}{{ .ts_auth_key }}{{ end }}', AuthKeyPlace("a/b", "ts_auth_key")),
        ('{{- with nomadVar "a/b" -}}K={{ .AUTHKEY.Value }}{{- end -}}', AuthKeyPlace("a/b", "AUTHKEY")),
        ('{{ (nomadVar "a/b").TAILSCALE_AUTHKEY }}', AuthKeyPlace("a/b", "TAILSCALE_AUTHKEY")),
        ("no variable", EXAMPLES_KEY),
        ('{{ with nomadVar "a/b" }}{{ .PASSWORD }}{{ end }}', EXAMPLES_KEY),
    ],
)
def test_ways_to_read_an_auth_key(template: str, place: AuthKeyPlace) -> None:
    guard = task("g", PRESTART, env={"EXIT_NODE": "a"}, templates={"secrets/key": template})
    assert reading(SIDECAR_TASK, guard, WORKER).auth_key == place


def test_what_else_is_read_from_variables() -> None:
    one = '{{ with nomadVar "a/b" }}{{ .TS_AUTHKEY }} {{ .TOKEN }}{{ end }}'
    both = one + '{{ with nomadVar "c" }}{{ .USER }}{{ end }}'
    guard = task("g", PRESTART, env={"EXIT_NODE": "a"}, templates={"secrets/key": both})
    found = reading(SIDECAR_TASK, guard, WORKER)
    assert found.auth_key == AuthKeyPlace("a/b", "TS_AUTHKEY")
    assert found.variables == {"a/b": ("TOKEN",), "c": ("USER",)}


# -- what it serves


def served(*tasks: dict[str, object], services: tuple[object, ...] = ()) -> tuple[ServePromise, ...]:
    found = reading(SIDECAR_TASK, *tasks, task("web"), Services=services)
    assert found.kind == "serve"
    return found.serve


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ("http/=${NOMAD_PORT_web}", ["http://{host}/"]),
        ("https/=8000", ["https://{host}/"]),
        ("https:8443/=8000", ["https://{host}:8443/"]),
        ("http/api=8000/v1,http/=9000", ["http://{host}/api", "http://{host}/"]),
        ("tcp:6379=${NOMAD_PORT_redis}", ["{host}:6379"]),
    ],
)
def test_serve_by_the_toolkits_setting(entries: str, expected: list[str]) -> None:
    assert [p.url or p.tcp for p in served(task("s", env={"SERVE": entries}))] == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("tailscale serve --bg 3000", ["https://{host}/"]),
        ("tailscale serve --bg --http=80 http://127.0.0.1:${NOMAD_PORT_web}", ["http://{host}/"]),
        ("tailscale --socket=/s serve --bg --https=443 --set-path=/a localhost:3000", ["https://{host}/a"]),
        ("tailscale serve --bg --tcp 5432 tcp://localhost:5432", ["{host}:5432"]),
        ("tailscale serve --bg --http=80 \\\n  http://127.0.0.1:80", ["http://{host}/"]),
        ("tailscale serve --bg --http=80 text:hello; tailscale serve status", ["http://{host}/"]),
    ],
)
def test_serve_by_a_command(script: str, expected: list[str]) -> None:
    found = served(task("s", image=IMAGE, command="sh", args=["-c", script]))
    assert [p.url or p.tcp for p in found] == expected


@pytest.mark.parametrize(
    "script", ["tailscale serve reset", "tailscale serve status --json", "serve --http=80 3"]
)
def test_commands_that_publish_nothing(script: str) -> None:
    with pytest.raises(UsageError, match="nothing to prove"):
        reading(SIDECAR_TASK, task("s", command="sh", args=["-c", script]), WORKER)


def test_serve_by_a_file_of_services() -> None:
    endpoints = '{"tcp:443": "https://unix:{{ env "A" }}/s"}'
    text = f'{{"version": "0.0.1", "services": {{"svc:wiki": {{"endpoints": {endpoints}}}}}}}'
    found = served(task("s", templates={"local/services.json": text}))
    assert found == (ServePromise(url="https://{host}/", service="svc:wiki"),)


def test_serve_by_the_images_file() -> None:
    text = """{
      "TCP": {"443": {"HTTPS": true}, "8080": {"HTTP": true}, "5432": {"TCPForward": "127.0.0.1:5432"}},
      "Web": {
        "${TS_CERT_DOMAIN}:443": {"Handlers": {"/": {"Proxy": "http://127.0.0.1:3000"}}},
        "${TS_CERT_DOMAIN}:8080": {"Handlers": {"/a": {"Proxy": "http://127.0.0.1:3000"}}}
      }
    }"""
    found = served(task("s", templates={"local/serve.json": text}))
    assert [p.url or p.tcp for p in found] == ["https://{host}/", "http://{host}:8080/a", "{host}:5432"]


def test_a_path_of_its_own_health_check_is_asked_for() -> None:
    health = task("health", SIDECAR, env={"BACKENDS": "http://127.0.0.1:${NOMAD_PORT_web}/healthz"})
    found = served(task("s", env={"SERVE": "http/=${NOMAD_PORT_web},http/x=${NOMAD_PORT_web}"}), health)
    assert [p.url for p in found] == ["http://{host}/healthz", "http://{host}/x"]


def test_a_path_of_nomads_check_is_asked_for() -> None:
    service = {"Name": "web", "PortLabel": "web", "Checks": [{"Type": "http", "Path": "/up"}]}
    (found,) = served(task("s", env={"SERVE": "http/=${NOMAD_PORT_web}"}), services=(service,))
    assert found.url == "http://{host}/up"


def test_one_that_leaves_and_serves_is_read_as_both() -> None:
    found = reading(SIDECAR_TASK, GUARD, task("s", env={"SERVE": "http/=80"}), WORKER)
    assert (found.kind, [p.url for p in found.serve]) == ("egress", ["http://{host}/"])


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ('{{ with nomadVar "a/b" }}{{ .X }}{{ end }}', {"a/b": "g"}),
        ('{{ if nomadVarExists "a/b" }}{{ with nomadVar "a/b" }}{{ .X }}{{ end }}{{ end }}', {}),
        ('{{ printf "nomad/jobs/%s" (env "NOMAD_JOB_ID") | nomadVar }}', {}),
        ("none", {}),
    ],
)
def test_variables_that_a_job_cannot_do_without(template: str, wanted: dict[str, str]) -> None:
    assert variables_wanted(by_lifecycle(job(task("g", templates={"x": template})))) == wanted


def test_a_variable_of_which_nothing_is_said(tmp_path: Path) -> None:
    file = tmp_path / "mine.nomad.hcl"
    file.write_text('job "mine" {\n  data = "{{ with nomadVar \\"a/b\\" }}"\n}\n', encoding="utf-8")
    example = Example("mine", tmp_path, file, Smoke("egress"))
    rendered = by_lifecycle(job(task("g", templates={"x": KEY.replace("nomad/jobs/mine", "a/b")})))
    with pytest.raises(UsageError, match=r"mine\.nomad\.hcl:2: task g reads the Nomad Variable a/b"):
        check_variables(example, rendered)
    check_variables(example, replace(rendered, auth_key=AuthKeyPlace("a/b")))
    check_variables(example, replace(rendered, variables={"a/b": {"X": "1"}}))
