"""The Allure report, for real: it needs npm's registry once, and so it is marked."""

import json
import os
import subprocess
import threading
import tomllib
from pathlib import Path

import pytest

from harness.engine.children import Children
from harness.errors import LabError
from harness.report import allure_html, node
from harness.run import places
from harness.run.progress import PlainProgress

LOCK = places.fixtures() / "report" / "package-lock.json"


def quiet() -> PlainProgress:
    return PlainProgress(lambda _: None)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("NOTAILCAR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The results of one refuted claim."""
    folder = tmp_path / "results"
    folder.mkdir()
    data = {
        "uuid": "1",
        "name": "egress-worker: a claim of ours",
        "fullName": "t#t",
        "historyId": "h",
        "status": "failed",
        "start": 1_000,
        "stop": 2_000,
        "labels": [{"name": n, "value": n.upper()} for n in ("epic", "feature", "story")],
    }
    (folder / "1-result.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


@pytest.fixture
def no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Node.js: PATH leads to this Python and the tools of a base system alone."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("setpriv", "unshare", "sh", "env", "git", "true"):
        for folder in ("/usr/bin", "/bin"):
            if (Path(folder) / tool).exists() and not (tools / tool).exists():
                (tools / tool).symlink_to(Path(folder) / tool)
    monkeypatch.setattr("harness.engine.children.SYSTEM_PATHS", ())
    monkeypatch.setenv("PATH", str(tools))


def test_the_lock_pins_what_the_versions_file_says_and_names_no_registry() -> None:
    lock = json.loads(LOCK.read_text(encoding="utf-8"))
    packages = {name: about for name, about in lock["packages"].items() if name}
    assert not [name for name, about in packages.items() if "resolved" in about]
    assert not [name for name, about in packages.items() if "integrity" not in about]
    pinned = tomllib.loads((places.fixtures() / "versions.toml").read_text(encoding="utf-8"))["report"][
        "allure"
    ]
    assert packages["node_modules/allure"]["version"] == pinned
    assert json.loads((LOCK.parent / "package.json").read_text(encoding="utf-8"))["dependencies"] == {
        "allure": pinned
    }


@pytest.mark.lab
def test_the_report_is_one_page_by_itself(cache: Path, results: Path, tmp_path: Path) -> None:
    page = allure_html.build(results, tmp_path / "out" / "allure", history=tmp_path / "history.jsonl")
    text = page.read_text(encoding="utf-8")
    assert page == tmp_path / "out" / "allure" / "index.html"
    assert len(text) > 1_000_000
    # It calls nobody: neither Allure's analytics, nor whatever a page of a later version may bring.
    assert "googletagmanager" not in text
    assert '<head><meta http-equiv="Content-Security-Policy" content="default-src data: blob: ' in text
    assert (tmp_path / "history.jsonl").is_file()
    assert sorted(x.name for x in page.parent.parent.iterdir()) == ["allure"]
    assert len(list((cache / "report").glob(".*"))) == 0
    # A second one replaces the first, and installs nothing.
    again = allure_html.build(results, tmp_path / "out" / "allure")
    assert again.is_file()


@pytest.mark.lab
def test_two_runs_at_once_share_one_installation(cache: Path, results: Path, tmp_path: Path) -> None:
    told: list[str] = []
    pages: list[Path] = []

    def run(number: int) -> None:
        progress = PlainProgress(told.append)
        pages.append(allure_html.build(results, tmp_path / f"out{number}", progress=progress))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pages) == 2
    assert len([line for line in told if line == "allure: from npm, once"]) == 1
    assert len(list((cache / "report").glob("[!.]*/node_modules/allure"))) == 1


@pytest.mark.lab
def test_what_a_dead_run_left_is_removed(cache: Path) -> None:
    left = cache / "report" / f".{allure_html.home().name}.dead"
    left.mkdir(parents=True)
    with Children() as children:
        allure_html.prepare(node.find(children, quiet()), children, quiet())
    assert not left.exists()


def test_an_unreachable_npm_is_a_clear_error(
    cache: Path, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Children() as children:
        try:
            node.find(children, quiet())
        except LabError:
            pytest.skip("no Node.js here, and none to be had")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    with pytest.raises(LabError, match="could not be installed from npm") as caught:
        allure_html.build(results, tmp_path / "out")
    assert "without" in caught.value.remedy
    assert caught.value.log
    assert not (tmp_path / "out").exists()
    assert list((cache / "report").iterdir()) == []


@pytest.mark.lab
@pytest.mark.usefixtures("no_node", "cache")
def test_a_machine_without_node_gets_one_from_pypi() -> None:
    told: list[str] = []
    with Children() as children:
        found = node.find(children, PlainProgress(told.append))
        assert node.find(children, PlainProgress(told.append)) == found
    said = subprocess.run(
        [*found.npm, "--version"], check=True, capture_output=True, text=True, env=dict(os.environ)
    )
    assert said.stdout.strip()
    assert told.count("node: from PyPI: this machine has none") == 1


@pytest.mark.usefixtures("no_node", "cache")
def test_without_node_and_pypi_it_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    if node._of_environment():
        pytest.skip("this environment has a Node.js of its own")
    for name in ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/simple")
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with Children() as children, pytest.raises(LabError, match=r"no Node\.js") as caught:
        node.find(children, quiet())
    assert "install Node.js 20" in caught.value.remedy
