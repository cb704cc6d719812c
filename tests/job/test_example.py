"""Examples and their smoke.toml: what is wrong is named by file, key and line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import EXIT_USAGE, UsageError
from harness.job import example
from harness.job.example import EgressPromise, ServePromise
from harness.lab.topology import ControlProgram
from harness.run import places

EGRESS = """\
kind = "egress"
var_files = ["vars/exit-a.hcl"]
tags = ["tag:nomad-worker"]

[egress]
via = ["exit-a"]
fallback = ["exit-b"]

[vars]
login_server = "{login_server}"
"""
SERVE = """\
kind = "serve"

[[serve]]
url = "http://{host}/"
contains = "hello"

[[serve]]
tcp = "{host}:5432"
status = 404
"""
MakeExample = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> MakeExample:
    def in_folder(smoke: str | None = EGRESS, *jobs: str, name: str = "mine") -> Path:
        folder = tmp_path / "examples" / name
        (folder / "vars").mkdir(parents=True)
        (folder / "vars" / "exit-a.hcl").write_text("", encoding="utf-8")
        if smoke is not None:
            (folder / "smoke.toml").write_text(smoke, encoding="utf-8")
        for job in jobs or ("mine.nomad.hcl",):
            (folder / job).write_text('job "mine" {}', encoding="utf-8")
        return folder

    return in_folder


def refused(folder: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        example.load(folder)
    assert str(folder) in caught.value.problem
    assert caught.value.exit_code == EXIT_USAGE
    return caught.value


def test_an_egress_example(make: MakeExample) -> None:
    folder = make()
    read = example.load(folder)
    assert (read.name, read.folder, read.job_file) == ("mine", folder, folder / "mine.nomad.hcl")
    assert read.smoke_file == folder / "smoke.toml"
    assert read.smoke.egress == EgressPromise(("exit-a",), ("exit-b",), confined=False)
    assert read.smoke.tags == ("tag:nomad-worker",)
    assert read.smoke.vars == {"login_server": "{login_server}"}


def test_a_serve_example(make: MakeExample) -> None:
    smoke = example.load(make(SERVE)).smoke
    assert smoke.serve == (
        ServePromise(url="http://{host}/", contains="hello"),
        ServePromise(tcp="{host}:5432", status=404),
    )
    assert smoke.egress is None


@pytest.mark.parametrize("folder", sorted(p.parent for p in places.data("examples").glob("*/smoke.toml")))
def test_the_shipped_examples_are_read(folder: Path) -> None:
    assert example.load(folder).smoke.kind in example.KINDS


WRONG = [
    ("colour = 1\n" + EGRESS, "line 1: colour: there is no such key"),
    (EGRESS.replace("tags =", "tag ="), "line 3: tag: there is no such key"),
    (EGRESS.replace("fallback", "fall_back"), "line 7: egress.fall_back: there is no such key"),
    (EGRESS.replace("[egress]", "[egres]"), "line 5: egres: there is no such key"),
    (EGRESS.replace('via = ["exit-a"]\n', ""), "line 5: egress.via: is missing"),
    (EGRESS.replace('kind = "egress"\n', ""), "kind: is missing"),
    (EGRESS.replace('["exit-a"]', '"exit-a"'), "line 6: egress.via: 'exit-a' is not a list"),
    (EGRESS.replace('["tag:nomad-worker"]', '"tag:x"'), "line 3: tags: 'tag:x' is not a list"),
    (EGRESS.replace('["exit-b"]', "[1]"), "line 7: egress.fallback[0]: 1 is not text"),
    (EGRESS.replace("via =", 'confined = "false"\nvia ='), "line 6: egress.confined: 'false' is not true"),
    (EGRESS.replace('"{login_server}"', "12"), "line 10: vars.login_server: 12 is not text"),
    (SERVE.replace("404", '"404"'), "line 9: serve[1].status: '404' is not a whole number"),
    (SERVE.replace("404", "true"), "line 9: serve[1].status: True is not a whole number"),
    (SERVE.replace("tcp =", "tpc ="), "line 8: serve[1].tpc: there is no such key"),
]


@pytest.mark.parametrize(("smoke", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_wrong_key_is_named_with_its_line(make: MakeExample, smoke: str, said: str) -> None:
    error = refused(make(smoke))
    assert "smoke.toml: 1 wrong key" in error.problem
    assert error.log.startswith(said)
    assert "README.md" in error.remedy


def test_all_wrong_keys_are_named_at_once(make: MakeExample) -> None:
    error = refused(make("a = 1\nb = 2\n" + EGRESS))
    assert "2 wrong keys" in error.problem
    assert len(error.log.splitlines()) == 2


@pytest.mark.parametrize(
    ("smoke", "said"),
    [
        (EGRESS.replace('"egress"', '"ingress"'), "kind is 'ingress'"),
        (EGRESS.replace('"egress"', '"serve"'), "no [[serve]]"),
        (SERVE.replace('"serve"', '"egress"'), "no [egress]"),
        ("kind = egress", "not valid TOML"),
        ("", "1 wrong key"),
        (EGRESS.replace("vars/exit-a.hcl", "vars/none.hcl"), "var_files names vars/none.hcl"),
        (None, "there is no such"),
    ],
)
def test_refused(make: MakeExample, smoke: str | None, said: str) -> None:
    error = refused(make(smoke))
    assert said in error.problem
    assert "smoke.toml" in error.problem


def test_a_promise_of_no_exit_is_none(make: MakeExample) -> None:
    assert "via" in str(refused(make(EGRESS.replace('via = ["exit-a"]', "via = []"))))


def test_an_example_has_one_job(make: MakeExample) -> None:
    assert "here: a.nomad.hcl, b.nomad.hcl" in refused(make(EGRESS, "b.nomad.hcl", "a.nomad.hcl")).problem
    assert "here: none" in refused(make(EGRESS, "job.hcl", name="other")).problem


def test_find_gives_all_sorted_by_name(make: MakeExample) -> None:
    make(name="b")
    folder = make(name="a")
    make(None, name="no-example")
    assert [e.name for e in example.find(folder.parent)] == ["a", "b"]


@pytest.mark.parametrize("name", ["none", "empty"])
def test_a_folder_without_examples_says_what_one_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError) as caught:
        example.find(tmp_path / name)
    assert str(tmp_path / name) in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("served", "program"),
    [
        ('url = "http://{host}/"', ControlProgram.HEADSCALE),
        ('tcp = "{host}:5432"', ControlProgram.HEADSCALE),
        ('url = "https://{host}/"', ControlProgram.LABCONTROL),
        ('url = "http://{host}/"\nservice = "svc:mine"', ControlProgram.LABCONTROL),
    ],
)
def test_what_is_served_decides_the_control_program(
    make: MakeExample, served: str, program: ControlProgram
) -> None:
    smoke = f'kind = "serve"\ntags = ["tag:nomad-service"]\n[[serve]]\n{served}\n'
    assert example.load(make(smoke)).control_program is program
