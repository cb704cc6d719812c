"""Jobs without a smoke.toml: the repository's own, told from what Nomad renders, and jobs that are none."""

import json
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.assembly import default_topology
from harness.cli.own_jobs import surroundings
from harness.errors import EXIT_USAGE, UsageError
from harness.job import example as examples_of
from harness.job.example import Example, ServePromise, Smoke, read_smoke
from harness.job.first_look import FirstLook, Surroundings, first_look
from harness.job.here import render_here
from harness.job.reading import read
from harness.job.rendering import Rendered
from harness.lab import topology_file
from harness.run import places
from tests.toolkit import programs

EXAMPLES = sorted(p.parent for p in places.data("examples").glob("*/smoke.toml"))
MODULES = places.data("modules") / "nomad"


@pytest.fixture(scope="module")
def around() -> Surroundings:
    return surroundings(topology_file.load(default_topology()))


@pytest.fixture(scope="module")
def nomad() -> Path:
    return programs.find("nomad")


def look(job: Path, around: Surroundings, nomad: Path, **given: str) -> FirstLook:
    def render(example: Example) -> Rendered:
        return render_here(example, nomad, around.values)

    return first_look(job, around, render, given)


def proposed(found: FirstLook) -> Smoke:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "smoke.toml"
        file.write_text(found.proposal.text, encoding="utf-8")
        return read_smoke(file)


def front(promise: ServePromise) -> tuple[str, str, str]:
    """What can be known of something served: its scheme, its host and port, its Service."""
    parts = urlsplit(promise.url or f"tcp://{promise.tcp}")
    return parts.scheme, parts.netloc, promise.service


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda f: f.name)
def test_the_examples_are_taken_for_what_they_are(folder: Path, around: Surroundings, nomad: Path) -> None:
    own = examples_of.load(folder)
    smoke = proposed(look(own.job_file, around, nomad))
    assert smoke.kind == own.smoke.kind
    assert smoke.tags == own.smoke.tags
    assert smoke.auth_key == own.smoke.auth_key
    if own.smoke.egress and smoke.egress:
        assert smoke.egress.via == own.smoke.egress.via
        assert smoke.egress.fallback == own.smoke.egress.fallback
        assert smoke.egress.confined == own.smoke.egress.confined
        assert smoke.vars["expected_egress"] == "{egress:exit-a},{egress:exit-b}"
    assert smoke.vars["login_server"] == "{login_server}"


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda f: f.name)
def test_what_they_serve_is_read_with_their_own_settings(
    folder: Path, around: Surroundings, nomad: Path
) -> None:
    own = examples_of.load(folder)
    found = read(
        render_here(own, nomad, around.values), own.job_file.read_text(encoding="utf-8"), own.job_file
    )
    assert {front(p) for p in found.serve} == {front(p) for p in own.smoke.serve}
    assert found.of("sidecar") == ("tailscale",)
    assert found.login_server == around.values["login_server"]
    assert bool(found.of("guard")) == (own.smoke.kind == "egress")


@pytest.mark.parametrize(
    ("name", "kind", "confined"),
    [("egress", "egress", False), ("sealed", "egress", True), ("serve", "serve", False)],
)
def test_the_pieces_to_paste(name: str, kind: str, confined: bool, around: Surroundings, nomad: Path) -> None:
    found = look(MODULES / f"{name}-sidecar.nomad.hcl", around, nomad)
    smoke = proposed(found)
    assert smoke.kind == kind
    assert bool(smoke.egress and smoke.egress.confined) == confined
    assert smoke.auth_key.variable.startswith("nomad/jobs/my-")


# -- jobs of other people

PLAIN = """\
variable "way_out" {
  default = "fra-1"
}

variable "hs" {
  default = "https://hs.example.com"
}

job "mine" {
  group "mine" {
    task "vpn" {
      driver = "docker"
      lifecycle {
        hook    = "prestart"
        sidecar = true
      }
      config {
        image   = "tailscale/tailscale:v1.102.3"
        command = "tailscaled"
        args    = ["--tun=userspace-networking"]
      }
    }
    task "up" {
      driver = "docker"
      lifecycle {
        hook = "prestart"
      }
      config {
        image   = "tailscale/tailscale:v1.102.3"
        command = "sh"
        args    = ["-c", "tailscale up --login-server=${var.hs} --exit-node=${var.way_out}"]
      }
      template {
        data        = "{{ with nomadVar \\"nomad/jobs/mine\\" }}{{ .KEY_OF_TS_AUTH_KEY }}{{ end }}"
        destination = "secrets/key"
      }
    }
    task "worker" {
      driver = "docker"
      config {
        image = "mine:1"
      }
      env {
        API = "https://api.example.com/"
      }
    }
  }
}
"""


def write(tmp_path: Path, text: str, name: str = "mine.nomad.hcl") -> Path:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return file


def test_a_job_of_somebody_else(tmp_path: Path, around: Surroundings, nomad: Path) -> None:
    found = look(write(tmp_path, PLAIN), around, nomad)
    smoke = proposed(found)
    assert smoke.vars == {"hs": "{login_server}", "way_out": "exit-a"}
    assert smoke.egress
    assert (smoke.egress.via, smoke.egress.names) == (("exit-a",), ("api.example.com",))
    assert smoke.auth_key.variable == "nomad/jobs/mine"
    assert smoke.auth_key.item == "KEY_OF_TS_AUTH_KEY"
    # What is proposed is what is then run.
    rendered = render_here(replace(found.example, smoke=smoke), nomad, around.values)
    assert "--exit-node=exit-a" in str(rendered.job)
    assert f"--login-server={around.values['login_server']}" in str(rendered.job)


def refused(file: Path, around: Surroundings, nomad: Path, **given: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        look(file, around, nomad, **given)
    assert caught.value.exit_code == EXIT_USAGE
    return caught.value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            (
                'variable "hs" {\n  default = "https://hs.example.com"\n}\n',
                'locals {\n  hs = "https://hs.example.com"\n}\n',
            ),
            "mine.nomad.hcl:6: the job logs in at https://hs.example.com",
        ),
        (("${var.way_out}", "fra-9"), "mine.nomad.hcl:31: the job leaves by the exit node fra-9"),
        (("${var.way_out}", "fra-1"), "mine.nomad.hcl:2: the job leaves by the exit node fra-1"),
        (('default = "fra-1"', "type = string"), "mine.nomad.hcl:1: variable way_out has no default"),
        (("        sidecar = true\n", ""), "mine.nomad.hcl:11: task vpn runs tailscaled, but is no sidecar"),
        (
            ('job "mine" {', 'job "mine" {\n  datacenters = ["eu"]'),
            "mine.nomad.hcl:10: it asks for the datacenter",
        ),
        (
            ('group "mine" {', 'group "mine" {\n    network {\n      mode = "bridge"\n    }'),
            "mine.nomad.hcl:12: ",
        ),
        (('command = "tailscaled"', 'command = "true"'), "mine.nomad.hcl:10: job mine has no sidecar"),
    ],
    ids=[
        "login server",
        "exit",
        "variable that is not used",
        "no default",
        "no lifecycle",
        "datacenter",
        "bridge",
        "no sidecar",
    ],
)
def test_what_cannot_be_run_is_named_with_its_line(
    change: tuple[str, str], said: str, tmp_path: Path, around: Surroundings, nomad: Path
) -> None:
    assert change[0] in PLAIN
    text = PLAIN.replace(*change).replace("var.hs", "local.hs" if "locals" in change[1] else "var.hs")
    error = refused(write(tmp_path, text), around, nomad)
    assert f"{tmp_path}/{said}" in error.problem
    assert error.remedy


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("group", "grop"), "mine.nomad.hcl:10,"),
        (("lifecycle {", "lifecycle"), "mine.nomad.hcl:13,"),
        (('job "mine" {', ""), "mine.nomad.hcl:"),
        (("${var.hs}", "${var.nowhere}"), "mine.nomad.hcl:31,"),
    ],
    ids=["typo", "brace", "no job", "variable"],
)
def test_hcl_that_nomad_cannot_read_is_told_in_its_words(
    change: tuple[str, str], said: str, tmp_path: Path, around: Surroundings, nomad: Path
) -> None:
    error = refused(write(tmp_path, PLAIN.replace(*change)), around, nomad)
    assert f"{tmp_path / 'mine.nomad.hcl'}: Nomad cannot read this job" in error.problem
    assert said in error.log


def test_a_variable_that_is_given(tmp_path: Path, around: Surroundings, nomad: Path) -> None:
    found = look(write(tmp_path, PLAIN), around, nomad, way_out="exit-b")
    smoke = proposed(found)
    assert smoke.egress
    assert smoke.egress.via == ("exit-b",)


def test_a_datacenter_by_a_variable(tmp_path: Path, around: Surroundings, nomad: Path) -> None:
    text = 'variable "dc" {\n  default = "eu"\n}\n' + PLAIN.replace(
        'job "mine" {', 'job "mine" {\n  datacenters = [var.dc]'
    )
    assert proposed(look(write(tmp_path, text), around, nomad)).vars["dc"] == "dc1"


def test_one_that_the_job_does_not_declare(tmp_path: Path, around: Surroundings, nomad: Path) -> None:
    assert (
        "declares no variable nowhere" in refused(write(tmp_path, PLAIN), around, nomad, nowhere="1").problem
    )


def test_bytes_that_are_no_text(tmp_path: Path, around: Surroundings, nomad: Path) -> None:
    file = tmp_path / "mine.nomad.hcl"
    file.write_bytes(b"\xff\xfe job")
    assert "cannot be read" in refused(file, around, nomad).problem


def test_it_is_rendered_where_a_user_would(nomad: Path, tmp_path: Path) -> None:
    """The same JSON as the command gives, called by hand in the same folder."""
    write(tmp_path, PLAIN)
    smoke = Smoke("egress", vars={"hs": "https://x"})
    mine = Example("mine", tmp_path, tmp_path / "mine.nomad.hcl", smoke)
    by_hand = subprocess.run(
        [nomad, "job", "run", "-output", "-var=hs=https://x", "mine.nomad.hcl"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert render_here(mine, nomad, {}).job == json.loads(by_hand.stdout)["Job"]
