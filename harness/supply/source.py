"""The source recipe: programs built from pinned Go modules, base systems made by debootstrap.

Everything is made in the run's scratch folder and then renamed to its content address in the cache, so that
what is there is complete.
"""

import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from harness.engine.children import Children, CommandError, which
from harness.engine.install import install
from harness.errors import LabError
from harness.run import places
from harness.run.progress import Progress
from harness.supply import disk
from harness.supply.catalogue import Catalogue
from harness.supply.lock import only_maker
from harness.supply.pins import GoPin, go_needed

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PACKAGES = ["debootstrap", "debian-archive-keyring"]
C_COMPILER = ["gcc", "libc6-dev"]
"""Where a pin builds only with a C compiler."""
ORIGIN_FILE = "origin"
_REMOVED = (
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bash-completion",
    "var/lib/apt/lists",
    "var/cache/apt",
    "var/cache/debconf",
    "var/log",
)
"""What the slim variant of the official image leaves out too, and what only package managers need."""
_NO_LONGER_TOLD = re.compile(r"^[\w.\-/~@]+$")


def programs_folder(catalogue: Catalogue, name: str) -> Path:
    """Where the programs of a Go module are, once they are built."""
    return places.cache() / "binaries" / catalogue.binaries_digest(name)[:16]


def debian_folder(catalogue: Catalogue) -> Path:
    """Where the base system is, once it is made."""
    return places.cache() / "bases" / catalogue.debian_digest[:16]


class Workshop:
    """Makes programs and base systems, each once, for all runs of one cache."""

    def __init__(self, catalogue: Catalogue, children: Children, scratch: Path, progress: Progress) -> None:
        """Work in `scratch`, a folder on the cache's own file system."""
        self._catalogue = catalogue
        self._children = children
        self._scratch = scratch
        self._progress = progress
        # The Go compiler takes all cores by itself: two side by side only get in each other's way.
        self._one_compiler = threading.Lock()

    def binaries(self, name: str) -> Path:
        """Give the folder with the programs of a Go module, and a file that says their origin.

        Raises:
            LabError: the build failed.
        """
        digest = self._catalogue.binaries_digest(name)
        return self._once(
            programs_folder(self._catalogue, name), digest, name, lambda folder: self._go(name, folder)
        )

    def debian(self) -> Path:
        """Give the folder with the base system as debian.tar, and a file that says its origin.

        Raises:
            LabError: debootstrap failed.
        """
        return self._once(
            debian_folder(self._catalogue), self._catalogue.debian_digest, "debian", self._debootstrap
        )

    def _once(self, folder: Path, digest: str, name: str, make: Callable[[Path], None]) -> Path:
        if folder.is_dir():
            return folder

        def waiting() -> AbstractContextManager[object]:
            return self._progress.stage(f"build {name}", "another run is building it")

        with only_maker(digest, self._children.cancelled, waiting):
            if folder.is_dir():
                return folder
            part = self._scratch / f"{name}-{digest[:16]}"
            part.mkdir()
            try:
                make(part)
                folder.parent.mkdir(parents=True, exist_ok=True)
                part.rename(folder)
            except CommandError as error:
                if disk.is_full(error.log):
                    raise disk.disk_full(places.cache(), name, error.log) from error
                raise
            except OSError as error:
                if disk.is_full(str(error)):
                    raise disk.disk_full(places.cache(), name) from error
                raise
            finally:
                shutil.rmtree(part, ignore_errors=True)
        return folder

    def _go(self, name: str, folder: Path) -> None:
        pin = self._catalogue.go(name)
        temporary = self._scratch / f"go-{name}"
        temporary.mkdir(exist_ok=True)
        with (
            self._one_compiler,
            self._progress.stage(f"build {name}", f"{pin.module} v{pin.version}") as stage,
        ):
            if pin.cgo:
                install("gcc", C_COMPILER, stage.update)
            try:
                self._children.run(
                    go_build(pin, folder),
                    cwd=self._catalogue.pins.module_folder(name),
                    env={"CGO_ENABLED": str(int(pin.cgo)), "GOWORK": "off", "GOTMPDIR": str(temporary)},
                    on_line=stage.update,
                )
                compiler = self._children.run(["go", "version", str(folder / Path(pin.binaries[0]).name)])
            except CommandError as error:
                raise _go_failed(name, pin, self._catalogue.pins.module_folder(name), error) from error
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        version = compiler.rpartition(": ")[2].strip()
        (folder / ORIGIN_FILE).write_text(f"{pin.module} v{pin.version}, {version}", encoding="utf-8")

    def _debootstrap(self, folder: Path) -> None:
        suite = self._catalogue.pins.debian.suite
        root = folder / "root"
        with self._progress.stage("debian", f"debootstrap of {suite}") as stage:
            if not KEYRING.exists() or not which("debootstrap"):
                install("debootstrap", PACKAGES, stage.update)
            command = ["debootstrap", "--variant=minbase", "--force-check-gpg", f"--keyring={KEYRING}"]
            try:
                self._children.run([*command, suite, str(root)], on_line=stage.update)
                stage.update("making it slim")
                _slim(root)
                self._children.run(_archive(root, folder / "debian.tar"), on_line=stage.update)
            except CommandError as error:
                if disk.is_full(error.log):
                    raise
                raise LabError(
                    f"debootstrap of {suite} failed: {error.problem}",
                    log=error.log,
                    remedy="see that a Debian mirror answers, and that debian.suite in versions.toml exists",
                ) from error
            shutil.rmtree(root)
        (folder / ORIGIN_FILE).write_text(f"debootstrap of Debian {suite}", encoding="utf-8")


def go_build(pin: GoPin, folder: Path) -> list[str]:
    """The command that builds the programs of a module into a folder, byte for byte the same anywhere.

    What needs a C compiler is linked with nothing but itself, and with Go's own resolver: it runs in an image
    that is older than the machine.
    """
    return [
        "go",
        "build",
        "-v",
        "-trimpath",
        "-buildvcs=false",
        "-mod=readonly",
        "-o",
        f"{folder}/",
        "-ldflags",
        ldflags(pin),
        *(("-tags", "netgo,osusergo") if pin.cgo else ()),
        *pin.packages,
    ]


def ldflags(pin: GoPin) -> str:
    """What the linker is told: no symbols, and what the program has to know of itself."""
    static = ["-linkmode", "external", "-extldflags", "-static"] if pin.cgo else []
    return " ".join(["-s", "-w", *static, *pin.ldflags])


def go_version() -> str | None:
    """The version of the Go on this machine, such as 1.26.8; nothing where there is none."""
    go = which("go")
    if go is None:
        return None
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, cwd="/")
    return said.stdout.strip().removeprefix("go") or None


def go_caches() -> tuple[Path, Path]:
    """Go's folders for modules and for compiled packages."""
    go = which("go") or "go"
    said = subprocess.run(
        [go, "env", "GOMODCACHE", "GOCACHE"], capture_output=True, text=True, check=True, cwd="/"
    )
    modules, compiled = said.stdout.splitlines()
    return Path(modules), Path(compiled)


def has_module(modules: Path, pin: GoPin) -> bool:
    """Whether Go has fetched a module before, and so most of what it depends on."""
    escaped = re.sub(r"[A-Z]", lambda capital: "!" + capital[0].lower(), pin.module)
    return (modules / "cache" / "download" / escaped / "@v" / f"v{pin.version}.zip").exists()


def _go_failed(name: str, pin: GoPin, module: Path, error: CommandError) -> LabError:
    # With -v, the compiler lists packages; what went wrong is said in sentences.
    log = "\n".join(line for line in error.log.splitlines() if not _NO_LONGER_TOLD.match(line))
    if disk.is_full(log):
        return disk.disk_full(_full_folder(), f"{name} v{pin.version}", log)
    where = f"{pin.module} v{pin.version}"
    if re.search(
        r"unknown revision|404 Not Found|410 Gone|missing go\.sum entry|updates to go\.mod needed", log
    ):
        return LabError(
            f"Go does not find {where}, or something that it is built from",
            log=log,
            remedy=f"correct go.{name} in versions.toml and {module / 'go.mod'}: name a version that exists",
        )
    if re.search(r"no such host|dial tcp|i/o timeout|connection refused|TLS handshake", log):
        return LabError(
            f"{where} could not be fetched: the Go module proxy does not answer",
            log=log,
            remedy="check the network and `go env GOPROXY`, or use images: NOTAILCAR_REGISTRY",
        )
    if "GOTOOLCHAIN" in log or "requires go >=" in log:
        return LabError(
            f"{where} needs Go {go_needed(module)}",
            log=log,
            remedy=f"install Go {go_needed(module)} or newer",
        )
    return LabError(f"{where} could not be built", log=log or error.log)


def _full_folder() -> Path:
    """The fullest of the folders that a Go build writes to."""
    return min((places.cache(), *go_caches()), key=disk.free_bytes)


def _slim(root: Path) -> None:
    for folder in _REMOVED:
        for entry in (root / folder).iterdir() if (root / folder).is_dir() else ():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    for package in (root / "usr/share/doc").iterdir():
        # Licences stay.
        for entry in package.iterdir() if package.is_dir() and not package.is_symlink() else ():
            if entry.name != "copyright":
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    shutil.copytree(places.fixtures() / "images" / "debian", root, dirs_exist_ok=True)
    # A wheel keeps no modes.
    (root / "usr/sbin/policy-rc.d").chmod(0o755)


def _archive(root: Path, file: Path) -> list[str]:
    kept_empty = [f"--exclude=./{name}/*" for name in ("dev", "proc", "sys", "run", "tmp")]
    return [
        "tar",
        "--create",
        "--numeric-owner",
        "--one-file-system",
        *kept_empty,
        f"--file={file}",
        f"--directory={root}",
        ".",
    ]
