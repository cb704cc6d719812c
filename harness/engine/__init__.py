"""The Docker engine that everything runs in: the user's own if it answers, else one of the harness's."""

from harness.engine.engine import Engine
from harness.engine.find import find_engine
from harness.engine.own import own_engine_runs, stop_if_unused

__all__ = ["Engine", "find_engine", "own_engine_runs", "stop_if_unused"]
