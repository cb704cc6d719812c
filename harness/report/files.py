"""Writing a file that is there whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Write `text` (UTF-8) to `file`, making its folder; a reader sees the old file or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    unborn = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        # mkstemp's 0600 is for secrets; a report is for others to read, too.
        unborn.chmod(0o644)
        unborn.replace(file)
    except BaseException:
        unborn.unlink(missing_ok=True)
        raise
