"""What a scenario of somebody's own sees of a lab, and that it leaves nothing there."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.assembly import default_topology, ready_lab
from harness.claims.verdict import Outcome
from harness.errors import LabError, UsageError
from harness.job.example import load
from harness.lab.topology import CLIENT, STRANGER, Role
from harness.ledger.ledger import Ledger
from harness.plugin.executions import Executions
from harness.plugin.running import RunJob
from harness.probes.stage import Stage
from harness.report.progress import Progress
from harness.run import places
from harness.run.run import Run
from harness.site.internet import Mark
from harness.site.lab_site import LabSite
from harness.site.site import Site

pytestmark = pytest.mark.lab

WORKER = places.data("examples") / "egress-worker"
PAGE = places.data("examples") / "private-http-service"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabSite]:
    file = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    with (
        Progress() as progress,
        Run() as run,
        Ledger(file) as ledger,
        ready_lab(default_topology(), run, progress, examples=[load(WORKER), load(PAGE)]) as ready,
    ):
        made = LabSite(Executions(Stage(ready.lab, run, ledger, progress, ready.nomad)))
        yield made
        made.close()


def test_a_lab_is_a_site(site: LabSite) -> None:
    seen: Site = site
    assert seen.tailnet.domain == "tailnet.test"
    assert seen.nomad.reachable()


def test_the_tailnet_is_asked_by_who_may_and_by_who_may_not(site: LabSite) -> None:
    names = {node.name for node in site.tailnet.nodes()}
    assert {"exit-a", "client", "stranger", "notice"} <= names
    board = f"http://notice.{site.tailnet.domain}/"
    for by in (CLIENT, STRANGER):
        seen = site.tailnet.ask(board, by=by)
        assert (seen.by, seen.connected, seen.status) == (by, True, 200)
        assert "the noticeboard" in seen.body
    gone = site.tailnet.ask(f"http://nobody.{site.tailnet.domain}/")
    assert not gone.connected
    with pytest.raises(LabError, match="no host nobody"):
        site.tailnet.ask(board, by="nobody")


def test_an_auth_key_carries_its_tags(site: LabSite) -> None:
    assert len(site.tailnet.create_key("tag:nomad-worker")) > 20


def test_the_internet_says_who_came_and_what_left_the_node(site: LabSite) -> None:
    since = site.internet.mark()
    assert site.internet.requests(since) == ()
    node = site.lab.topology.only(Role.NODE)
    site.lab.node.host.run("curl", "-4sf", f"{site.internet.url}?token=mine").expect()
    (request,) = site.internet.requests(since)
    assert (request.token, request.peer) == ("mine", str(node.v4[0]))
    echo = site.lab.topology.only(Role.ECHO)
    assert {(f.destination, f.port) for f in site.internet.flows(since)} >= {(str(echo.v4[0]), 80)}
    with pytest.raises(TypeError):
        site.internet.requests(Mark("another site's"))


def test_a_job_runs_is_judged_and_is_gone(site: LabSite, tmp_path: Path) -> None:
    run_job = RunJob(site, tmp_path)
    before = {n.id for n in site.tailnet.nodes()}
    since = site.internet.mark()
    run = run_job(WORKER, worker_requests="6")
    verdicts = site.claims(run)
    assert {"egress.address", "egress.guard_holds", "secrets.not_exposed"} <= set(verdicts)
    verdicts.assert_proven("egress.address", "egress.no_direct_packets", "identity.removed_after_stop")
    exit_a = site.lab.topology.host("exit-a").addresses
    came = [r for r in site.internet.requests(since) if not r.token.startswith("control-")]
    assert len(came) >= 6
    assert {r.peer for r in came} <= exit_a
    assert "exit node exit-a" in run.log("egress-guard")
    assert {a.status for a in run.allocations()} == {"complete"}
    assert {n.id for n in site.tailnet.nodes()} == before
    with pytest.raises(KeyError, match="is not claimed"):
        verdicts["serve.reachable"]
    # The same job again is another run, with a history of its own.
    again = run_job(WORKER, worker_requests="6")
    assert again.example.name == "egress-worker-2"
    again.finish()
    assert again.history
    run_job.close()


def test_one_that_nobody_finished_is_stopped(site: LabSite, tmp_path: Path) -> None:
    run_job = RunJob(site, tmp_path)
    run = run_job(PAGE)
    namespace = run.namespace
    assert any(not a.over for a in site.nomad.allocations(namespace))
    run_job.close()
    assert site.nomad.jobs(namespace) == []


def test_what_the_lab_was_not_brought_up_for_is_refused(site: LabSite, tmp_path: Path) -> None:
    example = load(WORKER)
    assert example.smoke.egress
    egress = replace(example.smoke.egress, names=("api.example.com",))
    with pytest.raises(UsageError, match=r"not brought up with: api\.example\.com"):
        site.run(replace(example, smoke=replace(example.smoke, egress=egress)))
    with pytest.raises(UsageError, match=r"not brought up with: no/such:1 \(.*: task worker\)"):
        RunJob(site, tmp_path)(example, worker_image="no/such:1")
    with pytest.raises(UsageError, match="needs labcontrol"):
        site.run(load(places.data("examples") / "private-dashboard"))


def test_a_leak_is_refuted(site: LabSite, tmp_path: Path) -> None:
    """The worker is told of no proxy, so it goes out directly."""
    text = (WORKER / "egress-worker.nomad.hcl").read_text(encoding="utf-8")
    folder = WORKER.parents[1] / ".own-leak"
    folder.mkdir()
    try:
        (folder / "smoke.toml").write_text((WORKER / "smoke.toml").read_text(encoding="utf-8"), "utf-8")
        (folder / "vars").symlink_to(WORKER / "vars")
        leaky = "\n".join(line for line in text.splitlines() if "_PROXY" not in line and "_proxy" not in line)
        (folder / "leak.nomad.hcl").write_text(leaky, encoding="utf-8")
        verdicts = site.claims(RunJob(site, tmp_path)(folder))
        assert verdicts["egress.address"].outcome is Outcome.REFUTED
        with pytest.raises(AssertionError, match=r"egress\.address: refuted: "):
            verdicts.assert_proven("egress.address")
    finally:
        for file in ("smoke.toml", "vars", "leak.nomad.hcl"):
            (folder / file).unlink(missing_ok=True)
        folder.rmdir()
