"""The pure part of rendering: the files a job needs, what placeholders stand for, what its tasks are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.job.example import Example, Smoke, find
from harness.job.rendering import by_lifecycle, check_images, fill, needed_files, root_of, with_images
from harness.supply.pins import load_pins

WHERE = Path("examples/mine/smoke.toml")
MakeJob = Callable[..., Example]


@pytest.fixture
def job(tmp_path: Path) -> MakeJob:
    def with_text(text: str, *files: str, var_files: tuple[str, ...] = ()) -> Example:
        folder = tmp_path / "examples" / "mine"
        folder.mkdir(parents=True)
        for name in files:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("", encoding="utf-8")
        job_file = folder / "mine.nomad.hcl"
        job_file.write_text(text, encoding="utf-8")
        return Example("mine", folder, job_file, Smoke(kind="egress", var_files=var_files))

    return with_text


def test_a_job_without_files_is_run_from_its_folder(job: MakeJob) -> None:
    example = job('job "mine" {}')
    assert root_of(example) == example.folder


def test_files_lead_to_the_folder_that_has_all_of_them(job: MakeJob, tmp_path: Path) -> None:
    text = 'data = file("scripts/guard.sh")\n data = file( "examples/mine/worker.py" )'
    example = job(text, "scripts/guard.sh", "examples/mine/worker.py", var_files=("vars/a.hcl",))
    assert root_of(example) == tmp_path
    assert needed_files(example, tmp_path) == [
        example.job_file,
        example.folder / "vars/a.hcl",
        tmp_path / "scripts/guard.sh",
        tmp_path / "examples/mine/worker.py",
    ]


def test_the_nearest_folder_wins(job: MakeJob) -> None:
    example = job('x = file("worker.py")', "worker.py", "examples/mine/worker.py")
    assert root_of(example) == example.folder


def test_interpolated_names_are_nomads_own_business(job: MakeJob) -> None:
    example = job('x = file("${var.folder}/worker.py")')
    assert root_of(example) == example.folder


def test_a_file_that_is_nowhere_is_named(job: MakeJob) -> None:
    example = job('x = file("scripts/guard.sh")\ny = file("no/such.sh")', "scripts/guard.sh")
    with pytest.raises(UsageError, match=r"mine\.nomad\.hcl: names a file that is not there: no/such\.sh"):
        root_of(example)


def test_files_that_no_folder_has_together_are_all_named(job: MakeJob) -> None:
    example = job('x = file("a.sh")\ny = file("mine/b.sh")', "a.sh", "examples/mine/b.sh")
    with pytest.raises(UsageError, match=r"a\.sh, mine/b\.sh"):
        root_of(example)


def test_placeholders_are_filled() -> None:
    values = {"login_server": "https://x", "egress:exit-a": "1.2.3.4,2001:db8::1"}
    variables = {"server": "{login_server}", "both": "{egress:exit-a};{login_server}", "plain": "12"}
    assert fill(variables, values, WHERE) == {
        "server": "https://x",
        "both": "1.2.3.4,2001:db8::1;https://x",
        "plain": "12",
    }


@pytest.mark.parametrize("text", ['{"a": 1}', "{}", "{ login_server }", "${NOMAD_ADDR}", "{A}"])
def test_other_braces_are_left_alone(text: str) -> None:
    assert fill({"v": text}, {"login_server": "x"}, WHERE) == {"v": text}


def test_an_unknown_placeholder_is_named_with_its_key() -> None:
    with pytest.raises(UsageError, match=r"smoke\.toml: \[vars\] server .*\{login_servr\}") as caught:
        fill({"server": "{login_servr}"}, {"login_server": "x", "check_url": "y"}, WHERE)
    assert "{check_url}, {login_server}" in caught.value.remedy


@given(value=st.text())
def test_what_a_placeholder_stands_for_is_not_filled_again(value: str) -> None:
    values = {"a": value, "b": "{a}"}
    assert fill({"v": "<{b}{a}>"}, values, WHERE) == {"v": "<{a}" + value + ">"}


def task(name: str, **lifecycle: object) -> dict[str, Any]:
    return {"Name": name, "Lifecycle": lifecycle or None}


def test_tasks_by_what_they_are_for() -> None:
    rendered = by_lifecycle(
        {
            "ID": "mine",
            "TaskGroups": [
                {
                    "Tasks": [
                        task("tailscale", Hook="prestart", Sidecar=True),
                        task("egress-guard", Hook="prestart", Sidecar=False),
                        task("worker"),
                        task("cleanup", Hook="poststop", Sidecar=False),
                    ]
                },
                {"Tasks": [{"Name": "second"}, task("log-shipper", Hook="poststart", Sidecar=True)]},
            ],
        }
    )
    assert rendered.id == "mine"
    assert rendered.sidecars == {"tailscale", "log-shipper"}
    assert rendered.guards == {"egress-guard"}
    assert rendered.workers == {"worker", "second"}


OTHER = {"tailscale/tailscale:v2": "tailscale/tailscale:v1"}
VARIABLES = """
variable "exit_node" {
  description = "No default: { }"
  type        = string
}

variable "tailscale_image" {
  description = "Holds tailscale"
  type        = string
  default     = "tailscale/tailscale:v2"
}

variable "guard_image" {
  type    = string
  default = ""
}
"""


def test_a_job_is_given_the_time_that_its_tasks_may_take_to_end() -> None:
    second = 1_000_000_000
    slow = {"Name": "worker", "KillTimeout": 60 * second, "ShutdownDelay": 10 * second}
    silent = {"Name": "tailscale", "KillTimeout": None, "Lifecycle": {"Hook": "prestart", "Sidecar": True}}
    one = {"Name": "one", "Tasks": [slow, silent], "ShutdownDelay": 3 * second}
    other = {"Name": "other", "Tasks": [silent]}
    # The main task first, then the sidecar, which may take as long for all that is known.
    assert by_lifecycle({"TaskGroups": [one, other]}).end_seconds == 3 + 2 * (60 + 10)
    assert by_lifecycle({"TaskGroups": [other]}).end_seconds == 2 * 5
    assert by_lifecycle({"TaskGroups": []}).end_seconds == 0


def test_another_image_is_named_by_the_variable_whose_default_it_replaces() -> None:
    assert with_images(VARIABLES, {"exit_node": "exit-a"}, OTHER) == {
        "exit_node": "exit-a",
        "tailscale_image": "tailscale/tailscale:v1",
    }


def test_another_image_is_named_where_the_example_sets_it_itself() -> None:
    assert with_images(VARIABLES, {"guard_image": "tailscale/tailscale:v2"}, OTHER) == {
        "guard_image": "tailscale/tailscale:v1",
        "tailscale_image": "tailscale/tailscale:v1",
    }
    assert with_images(VARIABLES, {"tailscale_image": "mine"}, OTHER) == {"tailscale_image": "mine"}


def test_without_other_images_a_job_runs_as_it_stands() -> None:
    assert with_images(VARIABLES, {"exit_node": "exit-a"}, {}) == {"exit_node": "exit-a"}


def test_every_example_says_its_tailscale_image_by_a_variable() -> None:
    image = load_pins().go["tailscale"].image
    found = find(Path(__file__).resolve().parents[2] / "examples")
    assert found
    for example in found:
        text = example.job_file.read_text(encoding="utf-8")
        assert with_images(text, {}, {image: "another"})["tailscale_image"] == "another", example.name


def test_a_job_that_names_the_image_in_another_way_is_refused(job: MakeJob) -> None:
    example = job('job "mine" {}')
    tasks = [
        {"Name": "a", "Config": {"image": "python"}},
        {"Name": "b", "Config": {"image": next(iter(OTHER))}},
    ]
    rendered = {"TaskGroups": [{"Name": "g", "Tasks": tasks}]}
    check_images(example, rendered, {})
    with pytest.raises(UsageError) as failure:
        check_images(example, rendered, OTHER)
    assert "mine.nomad.hcl" in str(failure.value)
    assert "tailscale_image" in failure.value.remedy
