"""Relative links in every Markdown file lead somewhere, headings too, and the README leaves nothing out."""

import re
import subprocess
from pathlib import Path

import pytest

from harness.claims.catalogue import CLAIMS
from tests.docs.places import REPOSITORY

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def _files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return [REPOSITORY / line for line in sorted(set(listed.stdout.splitlines()))]


def anchors(file: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a file."""
    headings = _HEADING.findall(file.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(file: Path, text: str) -> list[str]:
    """The links of a file that lead nowhere."""
    found = []
    for link in _LINK.findall(_CODE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, heading = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        if not target.exists() or (heading and heading not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("file", _files(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(file: Path) -> None:
    assert not broken(file, file.read_text(encoding="utf-8"))


def test_a_link_to_nowhere_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    links = "[a](a.md) [b](#the-one-heading) [c](https://x/) `[d](no.md)` [e](no.md) [f](#no)"
    text = f"# The `one` heading\n{links}\n"
    file.write_text(text)
    assert broken(file, text) == ["no.md", "#no"]


def test_the_readme_names_every_claim_and_every_example() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for claim in CLAIMS:
        assert f"| `{claim.id}` |" in readme, claim.id
    for folder in sorted((REPOSITORY / "examples").glob("*/smoke.toml")):
        assert f"(examples/{folder.parent.name}/README.md)" in readme, folder.parent.name
