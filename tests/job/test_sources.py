"""The digests of an example's files: each file that the job is made of, and no other."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.job import example, sources

ROOT = Path(__file__).parents[2]


def test_an_example_is_its_promises_its_job_and_all_that_the_job_reads() -> None:
    found = sources.digests(example.load(ROOT / "examples" / "egress-worker"))
    assert set(found) >= {
        "examples/egress-worker/smoke.toml",
        "examples/egress-worker/egress-worker.nomad.hcl",
        "examples/egress-worker/vars/exit-a.hcl",
        "scripts/tailscale/egress-guard.sh",
    }
    assert not any(name.endswith("README.md") for name in found)


def test_an_edit_of_any_of_them_shows(tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "one"
    folder.mkdir(parents=True)
    (tmp_path / "read.sh").write_text("a", encoding="utf-8")
    (folder / "smoke.toml").write_text('kind = "egress"\n[egress]\nvia = ["exit-a"]\n', encoding="utf-8")
    job = folder / "one.nomad.hcl"
    job.write_text('job "one" { data = file("read.sh") }', encoding="utf-8")
    before = sources.digests(example.load(folder))
    assert set(before) == {"jobs/one/smoke.toml", "jobs/one/one.nomad.hcl", "read.sh"}
    (tmp_path / "read.sh").write_text("b", encoding="utf-8")
    after = sources.digests(example.load(folder))
    assert {name for name in before if before[name] != after[name]} == {"read.sh"}
    (tmp_path / "read.sh").unlink()
    with pytest.raises(UsageError, match="names a file that is not there"):
        sources.digests(example.load(folder))
