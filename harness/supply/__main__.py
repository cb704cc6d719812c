"""`python -m harness.supply [IMAGE...]` makes images exist, all by default, and prints what they are."""

import sys

from harness.engine import find_engine
from harness.errors import NoTailCarError
from harness.run.run import Run
from harness.supply import ALL, PlainProgress, Supply
from harness.supply.pins import load_pins


def _say(line: str) -> None:
    print(line, flush=True)


def main(names: list[str]) -> int:
    """Make images exist; gives the exit code."""
    try:
        load_pins()
        with Run() as run, find_engine(run, _say) as engine:
            _say(engine.describe())
            for image in Supply(engine, run, PlainProgress(_say)).ensure(names or ALL).values():
                _say(f"{image.reference:45} {image.size / 1e6:6.0f} MB  {image.origin}")
    except NoTailCarError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
