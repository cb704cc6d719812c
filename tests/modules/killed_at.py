"""Runs a program and kills it, with SIGKILL, the N-th time that it comes to a line of one of its files.

    killed_at.py PROGRAM FILE LINE N      kills
    killed_at.py PROGRAM FILE 0 0         prints each line that it comes to on stderr, and kills nobody

In its own process, at the very line: no other way of killing meets a moment that exactly.
"""

import inspect
import os
import runpy
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

PROGRAM, FILE, LINE, TIMES = sys.argv[1], str(Path(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4])
came: Counter[int] = Counter()


def trace(frame: FrameType, event: str, _: object) -> Any:  # noqa: ANN401 - as sys.settrace has it
    """Called by Python for each call, and for each line of what it gives itself back for."""
    # Only what runs in functions: to be killed at a definition is to be killed before anything was begun.
    if frame.f_code.co_filename != FILE or not frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        return None
    if event == "line":
        came[frame.f_lineno] += 1
        if not LINE:
            os.write(2, f"line {frame.f_lineno} {came[frame.f_lineno]}\n".encode())
        elif (frame.f_lineno, came[frame.f_lineno]) == (LINE, TIMES):
            os.kill(os.getpid(), signal.SIGKILL)
    return trace


sys.argv = [PROGRAM]
sys.path[0] = str(Path(PROGRAM).parent)
threading.settrace(trace)
sys.settrace(trace)
runpy.run_path(PROGRAM, run_name="__main__")
