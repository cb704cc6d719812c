"""The Allure report as one HTML file, by the pinned Allure 3, which is installed into the cache once."""

import hashlib
import re
import shutil
import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from harness.engine.children import Children, CommandError
from harness.errors import LabError
from harness.report import node
from harness.report.node import Node
from harness.run import places
from harness.run.progress import PlainProgress, Progress, Stage
from harness.supply.lock import only_maker

_CLI = Path("node_modules/allure/cli.js")
_ANALYTICS = re.compile(
    r'<script async src="https://www\.googletagmanager\.com/[^"]*"></script>\s*<script>.*?</script>',
    re.DOTALL,
)
# Its own parts are in the page, as text or as data: and blob: URLs.
_ASKS_NOBODY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src data: blob: '
    "'unsafe-inline' 'unsafe-eval'\">"
)
# An unreachable registry is to be known soon: the report is not worth minutes.
_NPM_CI = (
    "ci",
    "--ignore-scripts",
    "--omit=dev",
    "--no-audit",
    "--no-fund",
    "--prefer-offline",
    "--loglevel=error",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
    "--fetch-timeout=30000",
)


def build(
    results: Path,
    out: Path,
    *,
    progress: Progress | None = None,
    children: Children | None = None,
    history: Path | None = None,
) -> Path:
    """Generate the report.

    Args:
        results: the folder of Allure results (pytest's --alluredir).
        out: the report's folder, replaced as a whole.
        progress: where the installation of the generator is shown; nowhere when left out.
        children: owns the commands; children of this call alone when left out.
        history: a JSON lines file that trends are kept in from run to run.

    Returns:
        The report's page, which needs no server and no other file.

    Raises:
        LabError: Node.js or the generator is missing and cannot be installed, or it failed.
    """
    shown = progress or PlainProgress(lambda _: None)
    with ExitStack() as stack:
        owner = children or stack.enter_context(Children())
        runtime = node.find(owner, shown)
        generator = prepare(runtime, owner, shown)
        out.parent.mkdir(parents=True, exist_ok=True)
        unborn = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}."))
        )
        trend = ["--history-path", str(history.resolve())] if history else []
        config = places.fixtures() / "report" / "allurerc.json"
        try:
            # The program itself, not npx: half a second less on the way to every report.
            owner.run(
                [
                    runtime.program,
                    str(generator / _CLI),
                    "awesome",
                    str(results.resolve()),
                    "--config",
                    str(config),
                    "--single-file",
                    "--output",
                    str(unborn / "report"),
                    "--group-by",
                    "epic,feature,story",
                    *trend,
                ],
                cwd=unborn,
                env={"NODE_COMPILE_CACHE": str(places.cache() / "report" / "compiled")},
            )
        except CommandError as error:
            raise LabError(
                f"Allure made no report of {results}", remedy="see what it printed", log=error.log
            ) from error
        page = unborn / "report" / "index.html"
        if not page.is_file():
            raise LabError(f"Allure made no report of {results}: is it empty?")
        page.write_text(_sealed(page.read_text(encoding="utf-8")), encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        page.parent.replace(out)
    return out / "index.html"


def _sealed(html: str) -> str:
    """The page without Allure's analytics, and not allowed to ask anybody for anything.

    Allure 3's `awesome` has no setting for it (plugin-awesome 3.18, generators.js: `analyticsEnable: true`).
    """
    return _ANALYTICS.sub("", html, count=1).replace("<head>", f"<head>{_ASKS_NOBODY}", 1)


def _lock() -> Path:
    return places.fixtures() / "report" / "package-lock.json"


def home() -> Path:
    """Where the generator is, or is to be: by the digest of its lock file."""
    return places.cache() / "report" / hashlib.sha256(_lock().read_bytes()).hexdigest()[:16]


def prepare(runtime: Node, children: Children, progress: Progress) -> Path:
    """Make sure that the pinned generator is in the cache; gives its folder. Raises LabError."""
    wanted = home()
    if (wanted / _CLI).is_file():
        return wanted

    def waiting() -> AbstractContextManager[Stage]:
        return progress.stage("allure", "another run installs it")

    with only_maker(wanted.name, children.cancelled, waiting):
        if not (wanted / _CLI).is_file():
            with progress.stage("allure", "from npm, once"):
                _install(wanted, runtime, children)
    return wanted


def _install(wanted: Path, runtime: Node, children: Children) -> None:
    wanted.parent.mkdir(parents=True, exist_ok=True)
    # Only we make this digest now: what lies here unfinished was left by a dead run.
    for left in wanted.parent.glob(f".{wanted.name}.*"):
        shutil.rmtree(left, ignore_errors=True)
    unborn = Path(tempfile.mkdtemp(dir=wanted.parent, prefix=f".{wanted.name}."))
    try:
        for file in (_lock(), _lock().with_name("package.json")):
            shutil.copy(file, unborn)
        children.run([*runtime.npm, *_NPM_CI], cwd=unborn)
        unborn.replace(wanted)
    except CommandError as error:
        raise LabError(
            "the Allure report's generator could not be installed from npm",
            remedy="check the registry that npm is set to, or do without: the claims matrix needs no npm",
            log=error.log or error.problem,
        ) from error
    finally:
        shutil.rmtree(unborn, ignore_errors=True)
