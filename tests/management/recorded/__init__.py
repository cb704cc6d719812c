"""Answers of a Nomad 1.11.3 and a headscale 0.29.3, recorded in a lab."""

import json
from pathlib import Path
from typing import Any


def recorded(name: str) -> Any:  # noqa: ANN401 - JSON of any shape
    return json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))
