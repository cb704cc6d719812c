"""Every example is complete: a job that Nomad reads, promises, a README, and nothing that is left out."""

import re
from pathlib import Path
from typing import Any

import pytest

from harness.job import example as examples
from harness.job.example import Example
from tests.modules.job import Job, nomad, render
from tests.toolkit.programs import REPOSITORY

EXAMPLES = examples.find(REPOSITORY / "examples")
EACH = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)


def _var_files(example: Example) -> list[Path]:
    return sorted(path.relative_to(REPOSITORY) for path in (example.folder / "vars").glob("*.hcl"))


def _job(example: Example) -> Job:
    chosen = [(example.folder / name).relative_to(REPOSITORY) for name in example.smoke.var_files]
    return render(example.job_file.relative_to(REPOSITORY), example.smoke.vars, chosen)


def _tasks(job: Job) -> list[dict[str, Any]]:
    return [task for group in job["TaskGroups"] for task in group["Tasks"]]


def test_every_folder_is_an_example() -> None:
    folders = {path.name for path in (REPOSITORY / "examples").iterdir() if path.is_dir()}
    assert folders == {example.name for example in EXAMPLES}


@EACH
def test_it_has_all_its_files_under_its_own_name(example: Example) -> None:
    assert example.job_file.name == f"{example.name}.nomad.hcl"
    readme = (example.folder / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {example.name}\n")
    assert readme.count("```mermaid\n") == 1
    assert f"examples/{example.name}/{example.name}.nomad.hcl" in readme
    for heading in ("What it shows", "Run it", "Make it yours"):
        assert f"\n## {heading}\n" in readme, heading


@EACH
def test_its_readme_leads_nowhere_that_is_not_there(example: Example) -> None:
    readme = (example.folder / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", readme):
        assert (example.folder / target).exists(), target


@EACH
def test_a_fallback_is_promised_and_set(example: Example) -> None:
    if example.smoke.egress:
        assert example.smoke.egress.fallback


@pytest.mark.lab
@EACH
def test_it_is_formatted_and_valid_with_each_var_file(example: Example) -> None:
    folder = example.folder.relative_to(REPOSITORY)
    assert nomad("fmt", "-check", "-recursive", "-list", folder).stdout == ""
    job_file = example.job_file.relative_to(REPOSITORY)
    for given in [[f"-var-file={file}"] for file in _var_files(example)] or [[]]:
        done = nomad("job", "validate", *given, job_file)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.lab
@EACH
def test_each_of_its_variables_says_what_it_is(example: Example) -> None:
    text = example.job_file.read_text(encoding="utf-8")
    declared = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    assert all("description" in body and "type" in body for _, body in declared)
    assert set(example.smoke.vars) <= {name for name, _ in declared}
    for name, _ in declared:
        assert f"var.{name}" in text, f"{name} is never used"


@pytest.mark.lab
@EACH
def test_no_task_has_a_privilege_or_an_end_that_is_not_bounded(example: Example) -> None:
    job = _job(example)
    assert job["ID"] == example.name
    for task in _tasks(job):
        config = task["Config"]
        assert config["cap_drop"] == ["ALL"], task["Name"]
        assert config["security_opt"] == ["no-new-privileges"], task["Name"]
        assert config["readonly_rootfs"] is True, task["Name"]
        assert config["pids_limit"] > 0, task["Name"]
        assert not {"cap_add", "privileged", "devices", "volumes", "ports"} & config.keys(), task["Name"]
        assert task["KillTimeout"] > 0, task["Name"]


@pytest.mark.lab
@EACH
def test_its_programs_reach_a_task_as_they_are(example: Example) -> None:
    rendered = {}
    for task in _tasks(_job(example)):
        for template in task["Templates"] or []:
            rendered[Path(template["DestPath"]).name] = template["EmbeddedTmpl"]
            if template["LeftDelim"] not in {None, "{{"}:
                assert template["LeftDelim"] not in template["EmbeddedTmpl"]
    for program in example.folder.glob("*.py"):
        assert rendered[program.name] == program.read_text(encoding="utf-8"), program.name
