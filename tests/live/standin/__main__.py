"""A stand-in to play with: `python -m tests.live.standin FOLDER`."""

import shlex
import signal
import sys
from pathlib import Path

import click

from harness.errors import NoTailCarError
from harness.report.progress import Progress
from harness.run.run import Run
from tests.live.standin.assembly import ready_stand_in
from tests.live.standin.standin import StandIn


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def main(folder: Path) -> None:
    """Bring up a cluster that plays a real one, until Ctrl-C or SIGTERM.

    FOLDER gets the operator's settings, as .env, and a program `operate` that runs a command from the
    operator's network with them: `FOLDER/operate pytest scenarios --site live -k egress-worker`. When the
    stand-in goes, what was left in it is said.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Progress() as progress, Run() as run, ready_stand_in(run, progress) as stand_in:
            _write(folder, stand_in)
            click.echo(f"ready: {folder}/operate nomad node status")
            try:
                signal.pause()
            except KeyboardInterrupt:
                click.echo(f"left: {stand_in.left()}")
    except NoTailCarError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)


def _write(folder: Path, stand_in: StandIn) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings = folder / ".env"
    settings.touch(mode=0o600)
    settings.write_text("".join(f"{k}={shlex.quote(v)}\n" for k, v in stand_in.settings().items()))
    program = folder / "operate"
    program.write_text(
        "#!/bin/sh\n"
        f"set -a\n. {shlex.quote(str(settings.absolute()))}\n"
        + "".join(f"{k}={shlex.quote(v)}\n" for k, v in stand_in.operator.environment.items())
        + f'exec {shlex.join(stand_in.operator.entering)} "$@"\n'
    )
    program.chmod(0o700)


if __name__ == "__main__":
    main()
